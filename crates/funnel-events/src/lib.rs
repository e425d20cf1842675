//! What an event is: envelope and payload decoding, normalisation, Arrow schema, privacy policy.
