//! What a picture is, read from its bytes: its type and its size, without decoding it. Drawings are cleaned on the way.

use aws_lc_rs::digest::{SHA256, digest};
use imagesize::ImageType;

use super::svg::{SvgError, drawing};
use crate::model::{Asset, Image, ImageKind, MediaType};

/// The most bytes of a picture.
pub const BYTES_MAX: usize = 2_000_000;
/// The longest side of a logo, in pixels.
pub const SIDE_MAX: u32 = 4_096;
/// Width and height of the picture that is shown where somebody shares a link, in pixels.
pub const SOCIAL: (u32, u32) = (1_200, 630);

/// A picture that may be served.
#[derive(Clone, Debug)]
pub struct Picture {
    pub image: Image,
    pub asset: Asset,
    /// What was left out of a drawing, by its names.
    pub dropped: Vec<String>,
}

/// Why a picture is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PictureError {
    #[error("a picture has at most {BYTES_MAX} bytes, and this has {0}")]
    TooLarge(usize),
    #[error("a drawing has at most {BYTES_MAX} bytes when it is cleaned, and this has {0}")]
    TooLargeCleaned(usize),
    #[error("its bytes are none of a PNG, JPEG, GIF, WebP or SVG picture")]
    UnknownType,
    #[error("it says that it is {declared}, and its bytes are {found}")]
    OtherType { declared: String, found: MediaType },
    #[error("its size cannot be read: it is damaged")]
    Damaged,
    #[error("a logo has 1 to {SIDE_MAX} pixels a side, and this has {0} × {1}")]
    WrongSide(u32, u32),
    #[error("the social picture has {wide} × {high} pixels, and this has {0} × {1}", wide = SOCIAL.0, high = SOCIAL.1)]
    NotSocial(u32, u32),
    #[error("the social picture is PNG, JPEG, GIF or WebP: those who show it do not draw SVG")]
    DrawnSocial,
    #[error("the drawing cannot be taken: {0}")]
    Svg(#[from] SvgError),
}

/// Judges an upload. `declared` is its `Content-Type`, without parameters.
pub fn picture(kind: ImageKind, declared: &str, bytes: Vec<u8>) -> Result<Picture, PictureError> {
    if bytes.len() > BYTES_MAX {
        return Err(PictureError::TooLarge(bytes.len()));
    }
    let media = sniffed(&bytes).ok_or(PictureError::UnknownType)?;
    if !declared.eq_ignore_ascii_case(media.as_str()) {
        return Err(PictureError::OtherType { declared: declared.to_owned(), found: media });
    }
    let (bytes, (width, height), dropped) = match media {
        MediaType::Svg => {
            let text = String::from_utf8(bytes).map_err(|_| PictureError::UnknownType)?;
            let clean = drawing(text.trim_start_matches('\u{feff}').trim())?;
            // Written out in full, it may be longer than it came.
            if clean.text.len() > BYTES_MAX {
                return Err(PictureError::TooLargeCleaned(clean.text.len()));
            }
            (clean.text.into_bytes(), (clean.width, clean.height), clean.dropped)
        }
        _ => {
            let size = imagesize::blob_size(&bytes).map_err(|_| PictureError::Damaged)?;
            let side = |n: usize| u32::try_from(n).map_err(|_| PictureError::Damaged);
            (bytes, (side(size.width)?, side(size.height)?), Vec::new())
        }
    };
    check(kind, media, width, height)?;
    let hash = hex::encode(digest(&SHA256, &bytes));
    let image = Image { hash, media, width, height, size: bytes.len() as u64 };
    Ok(Picture { image, asset: Asset { media, bytes }, dropped })
}

fn check(kind: ImageKind, media: MediaType, width: u32, height: u32) -> Result<(), PictureError> {
    match kind {
        ImageKind::Social if media == MediaType::Svg => Err(PictureError::DrawnSocial),
        ImageKind::Social if (width, height) != SOCIAL => Err(PictureError::NotSocial(width, height)),
        ImageKind::LogoLight | ImageKind::LogoDark
            if !(1..=SIDE_MAX).contains(&width) || !(1..=SIDE_MAX).contains(&height) =>
        {
            Err(PictureError::WrongSide(width, height))
        }
        _ => Ok(()),
    }
}

fn sniffed(bytes: &[u8]) -> Option<MediaType> {
    match imagesize::image_type(bytes) {
        Ok(ImageType::Png) => Some(MediaType::Png),
        Ok(ImageType::Jpeg) => Some(MediaType::Jpeg),
        Ok(ImageType::Gif) => Some(MediaType::Gif),
        Ok(ImageType::Webp) => Some(MediaType::Webp),
        // Whether it is a drawing, the XML parser says.
        _ => {
            let text = std::str::from_utf8(bytes).ok()?;
            text.trim_start_matches('\u{feff}').trim_start().starts_with('<').then_some(MediaType::Svg)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG's signature and header; nothing behind them is looked at.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    fn gif(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0, 0, 0, 0x3b]);
        bytes
    }

    #[test]
    fn a_picture_is_what_its_bytes_are() {
        let taken = picture(ImageKind::LogoLight, "image/png", png(300, 100)).unwrap();
        assert_eq!((taken.image.media, taken.image.width, taken.image.height), (MediaType::Png, 300, 100));
        assert_eq!((taken.image.size, taken.image.hash.len()), (33, 64));
        let taken = picture(ImageKind::Social, "image/GIF", gif(1_200, 630)).unwrap();
        assert_eq!(taken.image.media, MediaType::Gif);
        let svg =
            "\u{feff} <?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20px\" height=\"9.5\"/>";
        let taken = picture(ImageKind::LogoDark, "image/svg+xml", svg.into()).unwrap();
        assert_eq!((taken.image.width, taken.image.height), (20, 10));
        assert!(taken.asset.bytes.starts_with(b"<svg xmlns="));
    }

    #[test]
    fn what_is_no_picture_for_its_place_is_refused_with_what_would_be_right() {
        let huge = [png(10, 10), vec![0; BYTES_MAX]].concat();
        for (kind, declared, bytes, said) in [
            (
                ImageKind::LogoLight,
                "image/jpeg",
                png(10, 10),
                "says that it is image/jpeg, and its bytes are image/png",
            ),
            (ImageKind::LogoLight, "image/svg+xml", gif(1, 1), "image/gif"),
            (ImageKind::LogoLight, "image/png", b"<svg/>".to_vec(), "image/svg+xml"),
            (ImageKind::LogoLight, "image/png", b"hello".to_vec(), "none of a PNG"),
            (ImageKind::LogoLight, "image/png", Vec::new(), "none of a PNG"),
            (ImageKind::LogoLight, "image/png", png(1, 1)[..18].to_vec(), "damaged"),
            (ImageKind::LogoLight, "image/png", b"\x89PNG\r\n\x1a\n".to_vec(), "none of a PNG"),
            (ImageKind::LogoLight, "image/png", png(4_097, 10), "1 to 4096"),
            (ImageKind::LogoLight, "image/png", png(0, 10), "1 to 4096"),
            (ImageKind::LogoLight, "image/png", huge, "at most 2000000"),
            (ImageKind::Social, "image/png", png(1_200, 631), "1200 × 630"),
            (
                ImageKind::Social,
                "image/svg+xml",
                b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"630\"/>".to_vec(),
                "do not draw SVG",
            ),
            (
                ImageKind::LogoDark,
                "image/svg+xml",
                b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9999\" height=\"1\"/>".to_vec(),
                "1 to 4096",
            ),
            (ImageKind::LogoDark, "image/svg+xml", b"<svg/>".to_vec(), "cannot be taken"),
        ] {
            let error = picture(kind, declared, bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
