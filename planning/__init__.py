"""Scene -> Plan."""
