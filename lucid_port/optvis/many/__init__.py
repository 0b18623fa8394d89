"""Many units: parsed, batched, fitted into memory, shared among workers, written to a folder."""
