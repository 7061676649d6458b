"""Every public name is tested: these tests fail if a name is missing from the shared table of cases.

What is in the table is checked against finite differences (tests/test_gradients.py), and against PyTorch
(tests/oracle/test_every_case.py, tests/oracle/test_every_optimizer.py), which go through all of it.
"""

import inspect
import subprocess
import sys

from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES

import nnscratch as nn


def classes(module, base):
    """Return the public subclasses of `base` in a module."""
    found = [getattr(module, name) for name in module.__all__]
    return {cls for cls in found if inspect.isclass(cls) and issubclass(cls, base) and cls is not base}


def names(found):
    return sorted(cls.__name__ for cls in found)


def public_schedules():
    schedules = nn.optim.lr_scheduler
    found = [cls for _, cls in inspect.getmembers(schedules, inspect.isclass) if cls.__module__ == schedules.__name__]
    return {cls for cls in found if cls is not schedules.LRScheduler}


def test_every_public_layer_has_a_case():
    assert names((classes(nn.layers, nn.Module) | {nn.Sequential}) - LAYERS.keys()) == []


def test_every_public_loss_has_a_case():
    assert names(classes(nn.losses, nn.Module) - LOSSES.keys()) == []


def test_every_public_optimizer_has_a_case():
    assert names(classes(nn.optim, nn.optim.Optimizer) - OPTIMIZERS.keys()) == []


def test_every_public_schedule_has_a_case():
    assert names(public_schedules() - SCHEDULES.keys()) == []


def test_no_entry_of_the_table_is_empty():
    for table in (LAYERS, LOSSES, OPTIMIZERS, SCHEDULES):
        assert [cls.__name__ for cls, cases in table.items() if not cases] == []


def test_every_case_builds_what_it_is_listed_under():
    for cls, cases in (LAYERS | LOSSES).items():
        assert {type(case.build()) for case in cases} == {cls}


def test_every_module_of_the_package_itself_is_a_layer_a_loss_or_a_container():
    of_nn = classes(nn, nn.Module)
    assert names(of_nn - classes(nn.layers, nn.Module) - classes(nn.losses, nn.Module)) == ["Sequential"]


def test_layers_and_losses_are_all_names_of_the_package_itself():
    assert set(nn.layers.__all__) | set(nn.losses.__all__) <= set(nn.__all__)


def public_classes_and_functions():
    """Return every public class and function of the package."""
    listed = (nn, nn.data, nn.explain, nn.gradcheck, nn.layers, nn.losses, nn.models, nn.optim, nn.plotting)
    listed += (nn.testing, nn.training)
    found = {f"{module.__name__}.{name}": getattr(module, name) for module in listed for name in module.__all__}
    for module in (nn.init, nn.optim.lr_scheduler):
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_"):
                found[f"{module.__name__}.{name}"] = value
    return {name: value for name, value in found.items() if inspect.isclass(value) or inspect.isfunction(value)}


HELPERS = {"nnscratch.init.drawn", "nnscratch.optim.lr_scheduler.between"}


def test_every_public_class_and_function_has_an_example_in_its_docstring():
    found = public_classes_and_functions()
    assert len(found) > 120 and HELPERS <= found.keys()
    assert [name for name in sorted(found.keys() - HELPERS) if ">>>" not in (found[name].__doc__ or "")] == []


def test_importing_the_package_does_not_import_the_progress_bar_which_warns_in_a_notebook():
    code = "import sys, nnscratch; sys.exit('tqdm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
