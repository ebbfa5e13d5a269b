//! Macros that choose one instance of a generic handler.

/// `pick!(width, f, T...)`: `f::<u8 | u16 | u32, T...>`.
macro_rules! pick {
    ($w:expr, $($f:ident)::+ $(, $g:ty)*) => {{
        let h: Handler = match $w {
            Width::Byte => $($f)::+::<u8 $(, $g)*>,
            Width::Word => $($f)::+::<u16 $(, $g)*>,
            Width::Dword => $($f)::+::<u32 $(, $g)*>,
        };
        h
    }};
}

/// The same without the byte form.
macro_rules! pick16 {
    ($w:expr, $($f:ident)::+ $(, $g:ty)*) => {{
        let h: Handler = match $w {
            Width::Word => $($f)::+::<u16 $(, $g)*>,
            _ => $($f)::+::<u32 $(, $g)*>,
        };
        h
    }};
}

/// `pick_place!(width, place, f, T...)`: `f::<width, place, T...>`.
macro_rules! pick_place {
    ($w:expr, $p:expr, $($f:ident)::+ $(, $g:ty)*) => {
        match $p {
            PlaceKind::Near => pick!($w, $($f)::+, Near $(, $g)*),
            PlaceKind::Flat => pick!($w, $($f)::+, Flat $(, $g)*),
            PlaceKind::Any => pick!($w, $($f)::+, Any $(, $g)*),
        }
    };
}

/// `pick_condition!(cc, f, T...)`: `f::<T..., cc>`.
macro_rules! pick_condition {
    ($cc:expr, $($f:ident)::+ $(, $g:ty)*) => {{
        let h: Handler = match $cc {
            0 => $($f)::+::<$($g,)* 0>,
            1 => $($f)::+::<$($g,)* 1>,
            2 => $($f)::+::<$($g,)* 2>,
            3 => $($f)::+::<$($g,)* 3>,
            4 => $($f)::+::<$($g,)* 4>,
            5 => $($f)::+::<$($g,)* 5>,
            6 => $($f)::+::<$($g,)* 6>,
            7 => $($f)::+::<$($g,)* 7>,
            8 => $($f)::+::<$($g,)* 8>,
            9 => $($f)::+::<$($g,)* 9>,
            10 => $($f)::+::<$($g,)* 10>,
            11 => $($f)::+::<$($g,)* 11>,
            12 => $($f)::+::<$($g,)* 12>,
            13 => $($f)::+::<$($g,)* 13>,
            14 => $($f)::+::<$($g,)* 14>,
            _ => $($f)::+::<$($g,)* 15>,
        };
        h
    }};
}

pub(super) use {pick, pick_condition, pick_place, pick16};
