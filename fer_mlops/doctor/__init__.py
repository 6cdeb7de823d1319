"""The doctor: what is wrong with data, and what it will do to the numbers."""

from fer_mlops.doctor.examination import Examination, examine, examine_quickly, fast_examine
from fer_mlops.doctor.findings import (
    SEVERITIES,
    Finding,
    Severity,
    findings_as_json,
    is_at_least,
    listed,
)
from fer_mlops.doctor.page import render_page, summarise

__all__ = [
    "SEVERITIES",
    "Examination",
    "Finding",
    "Severity",
    "examine",
    "examine_quickly",
    "fast_examine",
    "findings_as_json",
    "is_at_least",
    "listed",
    "render_page",
    "summarise",
]
