//! What tenants bring for their branding, made fit to be shown: style sheets and drawings pass real parsers and come out
//! by a whitelist, pictures are known by their bytes. Pure: nothing here reads a store, a clock or a socket, and nothing
//! that comes out of here can load anything, run anything, or reach beyond the tenant's own part of a page.

mod css;
mod pictures;
mod svg;

pub use css::{CleanCss, Dropped, SCOPE, stylesheet};
pub use pictures::{BYTES_MAX, Picture, PictureError, SIDE_MAX, SOCIAL, picture};
pub use svg::{CleanSvg, SvgError, drawing};
