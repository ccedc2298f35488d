//! Names: what the DNS says of them, and records of our own in it. Nothing here judges what was seen, and no answer is
//! believed beyond what it says.

pub mod update;
