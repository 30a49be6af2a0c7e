"""Spec -> Plan: bytes, decisions, suggestions."""

from leangen.generator.plan.pipeline import Plan, plan

__all__ = ["Plan", "plan"]
