//! A key for names is none for rows: each does one thing.
fn wrong(key: sealdav::seal::AccountKey, place: sealdav::seal::Place) {
    let _opened = sealdav::seal::Stored::read(Vec::new()).open(&key.names(), &place);
}

fn main() {}
