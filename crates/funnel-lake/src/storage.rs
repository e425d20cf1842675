//! Where things are and how they become durable.
