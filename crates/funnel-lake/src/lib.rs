//! The lake: Delta append with offsets, ledger, table provider.
