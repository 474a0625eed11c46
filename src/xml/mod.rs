//! Bounded reader and writer for DAV bodies. Owns quick-xml.
