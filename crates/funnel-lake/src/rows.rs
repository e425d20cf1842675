//! Reading rows of data files.
