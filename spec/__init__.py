"""What a spec is: loading, its errors, its catalogues."""

from leangen.spec.catalogue import Hardware, catalogue, hardware
from leangen.spec.errors import Diagnostic, LeangenError, as_json, render
from leangen.spec.load import diagnostic_at, load, loads
from leangen.spec.spec import Spec

__all__ = [
    "Diagnostic",
    "Hardware",
    "LeangenError",
    "Spec",
    "as_json",
    "catalogue",
    "diagnostic_at",
    "hardware",
    "load",
    "loads",
    "render",
]
