"""Measurements that are not shipped: the whole table, growth, the check before a release."""
