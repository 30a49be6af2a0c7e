"""What a spec is: loading, its errors, its catalogues."""

from leangen.spec.catalogue.engines import Engine, engines
from leangen.spec.catalogue.hardware import Hardware, hardware, machines
from leangen.spec.errors import Diagnostic, LeangenError, as_json, render
from leangen.spec.load import diagnostic_at, load, loads, vary
from leangen.spec.spec import Budget, Spec

__all__ = [
    "Budget",
    "Diagnostic",
    "Engine",
    "Hardware",
    "LeangenError",
    "Spec",
    "as_json",
    "diagnostic_at",
    "engines",
    "hardware",
    "load",
    "loads",
    "machines",
    "render",
    "vary",
]
