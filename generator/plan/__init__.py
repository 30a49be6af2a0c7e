"""Spec -> Plan: bytes, decisions, suggestions."""

from leangen.generator.plan.plan import Plan, plan

__all__ = ["Plan", "plan"]
