"""The contract both images stand on: kinds, plan, hand-over, records, errors and names. No driver lives here."""
