"""Spec -> Plan -> files: accounting, rendering, and comparing with the disk."""
