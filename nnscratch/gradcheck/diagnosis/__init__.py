def diagnose_entries(report, objective):
    pass
