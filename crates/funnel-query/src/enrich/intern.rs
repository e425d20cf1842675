//! Texts as numbers: rows compare and copy ids without touching the text.

use std::sync::Arc;

use hashbrown::HashMap;

/// A text of an [`Interner`]; [`NULL`] is no text.
pub(crate) type Sym = u32;

/// The null text.
pub(crate) const NULL: Sym = 0;

/// Texts, each with its number.
#[derive(Debug)]
pub(crate) struct Interner {
    numbers: HashMap<Arc<str>, Sym>,
    texts: Vec<Arc<str>>,
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            texts: vec![Arc::from("")],
        }
    }

    /// The number of `text`, the same for every call.
    pub(crate) fn intern(&mut self, text: &str) -> Sym {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = Sym::try_from(self.texts.len()).unwrap_or(NULL);
        let text: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The text of `number`; the empty text for [`NULL`].
    pub(crate) fn text(&self, number: Sym) -> &str {
        self.texts.get(number as usize).map_or("", AsRef::as_ref)
    }

    /// The text of `number`, or none for [`NULL`].
    pub(crate) fn get(&self, number: Sym) -> Option<&str> {
        (number != NULL).then(|| self.text(number))
    }
}
