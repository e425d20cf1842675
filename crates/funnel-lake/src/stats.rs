//! Statistics of data files.
