//! Statements that write many rows at once.

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

/// `($1, $2), ($3, …`: numbers only, nothing of anybody's input.
pub(super) fn places(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
