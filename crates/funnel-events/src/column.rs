//! One declaration per table: [`table!`] makes the row struct, its Arrow fields and its builders
//! from one list, so that a column cannot exist in one of the three only.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Int16Builder,
    Int32Builder, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};

/// Digits and scale of every amount of money.
pub(crate) const DECIMAL_PRECISION: u8 = 18;
pub(crate) const DECIMAL_SCALE: i8 = 4;

/// How a column is stored.
pub(crate) trait Column {
    type Builder;
    fn data_type() -> DataType;
    fn builder() -> Self::Builder;
    fn finish(builder: &mut Self::Builder) -> ArrayRef;
    /// Bytes that the builder holds, roughly.
    fn bytes(builder: &Self::Builder) -> usize;
}

/// Which Rust types a column takes; `NULLABLE` follows from the type.
pub(crate) trait Holds<V>: Column {
    const NULLABLE: bool;
    fn append(builder: &mut Self::Builder, value: &V);
}

/// UTF-8 text.
#[derive(Debug)]
pub(crate) struct Text;
/// A 16-byte id as 32 hex digits.
#[derive(Debug)]
pub(crate) struct Hex;
/// A list of texts.
#[derive(Debug)]
pub(crate) struct Texts;
/// Money: `Decimal128(18, 4)`.
#[derive(Debug)]
pub(crate) struct Money;
/// Microseconds since 1970 in UTC.
#[derive(Debug)]
pub(crate) struct Time;
/// Days since 1970.
#[derive(Debug)]
pub(crate) struct Day;
#[derive(Debug)]
pub(crate) struct Int16;
#[derive(Debug)]
pub(crate) struct Int32;
#[derive(Debug)]
pub(crate) struct Int64;
#[derive(Debug)]
pub(crate) struct Bool;
#[derive(Debug)]
pub(crate) struct Bytes;

/// A non-null value that reads as text: names of enums and strings.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

impl Named for String {
    fn name(&self) -> &str {
        self
    }
}

impl Column for Text {
    type Builder = StringBuilder;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn builder() -> StringBuilder {
        StringBuilder::new()
    }
    fn finish(builder: &mut StringBuilder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn bytes(builder: &StringBuilder) -> usize {
        builder.values_slice().len() + builder.offsets_slice().len() * 4
    }
}

impl<V: Named> Holds<V> for Text {
    const NULLABLE: bool = false;
    fn append(builder: &mut StringBuilder, value: &V) {
        builder.append_value(value.name());
    }
}

impl Holds<Option<String>> for Text {
    const NULLABLE: bool = true;
    fn append(builder: &mut StringBuilder, value: &Option<String>) {
        builder.append_option(value.as_deref());
    }
}

impl Column for Hex {
    type Builder = StringBuilder;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn builder() -> StringBuilder {
        StringBuilder::new()
    }
    fn finish(builder: &mut StringBuilder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn bytes(builder: &StringBuilder) -> usize {
        Text::bytes(builder)
    }
}

impl Holds<[u8; 16]> for Hex {
    const NULLABLE: bool = false;
    fn append(builder: &mut StringBuilder, value: &[u8; 16]) {
        builder.append_value(hex(value));
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

impl Column for Texts {
    type Builder = ListBuilder<StringBuilder>;
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
    }
    fn builder() -> Self::Builder {
        ListBuilder::new(StringBuilder::new())
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn bytes(builder: &Self::Builder) -> usize {
        builder.offsets_slice().len() * 4
    }
}

impl Holds<Option<Vec<String>>> for Texts {
    const NULLABLE: bool = true;
    fn append(builder: &mut Self::Builder, value: &Option<Vec<String>>) {
        if let Some(texts) = value {
            for text in texts {
                builder.values().append_value(text);
            }
        }
        builder.append(value.is_some());
    }
}

impl Column for Bytes {
    type Builder = BinaryBuilder;
    fn data_type() -> DataType {
        DataType::Binary
    }
    fn builder() -> BinaryBuilder {
        BinaryBuilder::new()
    }
    fn finish(builder: &mut BinaryBuilder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn bytes(builder: &BinaryBuilder) -> usize {
        builder.values_slice().len() + builder.offsets_slice().len() * 4
    }
}

impl Holds<Option<Vec<u8>>> for Bytes {
    const NULLABLE: bool = true;
    fn append(builder: &mut BinaryBuilder, value: &Option<Vec<u8>>) {
        builder.append_option(value.as_deref());
    }
}

/// Columns whose builders take `Option<native>`.
macro_rules! plain_column {
    ($kind:ident, $builder:ident, $native:ty, $data_type:expr, $new:expr) => {
        impl Column for $kind {
            type Builder = $builder;
            fn data_type() -> DataType {
                $data_type
            }
            fn builder() -> $builder {
                $new
            }
            fn finish(builder: &mut $builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
            fn bytes(builder: &$builder) -> usize {
                arrow::array::ArrayBuilder::len(builder) * size_of::<$native>()
            }
        }

        impl Holds<$native> for $kind {
            const NULLABLE: bool = false;
            fn append(builder: &mut $builder, value: &$native) {
                builder.append_value(*value);
            }
        }

        impl Holds<Option<$native>> for $kind {
            const NULLABLE: bool = true;
            fn append(builder: &mut $builder, value: &Option<$native>) {
                builder.append_option(*value);
            }
        }
    };
}

plain_column!(
    Int16,
    Int16Builder,
    i16,
    DataType::Int16,
    Int16Builder::new()
);
plain_column!(
    Int32,
    Int32Builder,
    i32,
    DataType::Int32,
    Int32Builder::new()
);
plain_column!(
    Int64,
    Int64Builder,
    i64,
    DataType::Int64,
    Int64Builder::new()
);
plain_column!(
    Bool,
    BooleanBuilder,
    bool,
    DataType::Boolean,
    BooleanBuilder::new()
);
plain_column!(
    Day,
    Date32Builder,
    i32,
    DataType::Date32,
    Date32Builder::new()
);
plain_column!(
    Time,
    TimestampMicrosecondBuilder,
    i64,
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
);
plain_column!(
    Money,
    Decimal128Builder,
    i128,
    DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
    Decimal128Builder::new().with_data_type(DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE))
);

/// Declares a row struct with its columns. Each line is `field: type => "column" Kind`.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $vis:vis struct $row:ident, $builders:ident;
        $( $(#[$doc:meta])* $field:ident : $ty:ty => $column:literal $kind:ident, )*
    ) => {
        $(#[$meta])*
        $vis struct $row {
            $( $(#[$doc])* pub $field: $ty, )*
        }

        /// One builder per column of the row.
        pub(crate) struct $builders {
            $( $field: <$crate::column::$kind as $crate::column::Column>::Builder, )*
        }

        impl $builders {
            pub(crate) fn new() -> Self {
                Self {
                    $( $field: <$crate::column::$kind as $crate::column::Column>::builder(), )*
                }
            }

            #[allow(dead_code, reason = "some tables are appended column by column")]
            pub(crate) fn append(&mut self, row: &$row) {
                $(
                    <$crate::column::$kind as $crate::column::Holds<$ty>>::append(
                        &mut self.$field,
                        &row.$field,
                    );
                )*
            }

            pub(crate) fn finish(&mut self) -> Vec<(&'static str, arrow::array::ArrayRef)> {
                vec![
                    $( (
                        $column,
                        <$crate::column::$kind as $crate::column::Column>::finish(&mut self.$field),
                    ), )*
                ]
            }

            pub(crate) fn bytes(&self) -> usize {
                0 $( + <$crate::column::$kind as $crate::column::Column>::bytes(&self.$field) )*
            }

            pub(crate) fn fields() -> Vec<arrow::datatypes::Field> {
                vec![
                    $( arrow::datatypes::Field::new(
                        $column,
                        <$crate::column::$kind as $crate::column::Column>::data_type(),
                        <$crate::column::$kind as $crate::column::Holds<$ty>>::NULLABLE,
                    ), )*
                ]
            }
        }
    };
}
pub(crate) use table;
