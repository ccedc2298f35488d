//! Statements of many values: the places of those values in their texts, which are numbers only and nothing of anybody's
//! input; and how many rows one writes.

/// Parameters of one statement. sqlx's driver for SQLite looks each of them up by its name, through all those before it:
/// what a statement costs grows with their square, and with eight thousand that is most of an import. On PostgreSQL more
/// bring nothing: a statement of this size is planned once.
const MOST_PARAMETERS: usize = 250;

/// Rows of one statement, each of so many parameters.
pub(super) const fn rows_at_once(width: usize) -> usize {
    if width > MOST_PARAMETERS { 1 } else { MOST_PARAMETERS / width }
}

/// What is to be written, in parts of as many rows as a statement has.
pub(super) fn batches<T>(all: &[T], width: usize) -> std::slice::Chunks<'_, T> {
    all.chunks(rows_at_once(width))
}

/// `$3, $4, …`: so many, from that number on.
pub(super) fn numbered(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, …`: rows from the first number on.
pub(super) fn places(rows: usize, width: usize) -> String {
    (0..rows).map(|row| format!("({})", numbered(row * width + 1, width))).collect::<Vec<_>>().join(", ")
}
