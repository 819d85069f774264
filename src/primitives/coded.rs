//! [`coded!`]: enums that have a number in the tables, a name in the API, or both.

/// Declares an enum of unit variants together with its codes, in one table that cannot disagree
/// with itself:
///
/// ```text
/// coded! {
///     /// What became of it.
///     #[derive(Debug, Clone, Copy, PartialEq, Eq)]
///     pub enum Fate {
///         Settled = 1 => "settled",
///         Refused = 2 => "refused",
///     }
/// }
/// ```
///
/// gives `ALL`, `code`, `from_code` (the number in the tables, `u8`), `name` and `from_name` (the
/// word in the API and in logs). Every variant has both, or only `= 1`, or only `=> "settled"`. Two
/// variants with the same code or name do not compile. A code is never used again for something
/// else: rows and events keep it.
///
/// An enum whose variants have fields is declared with the one that has the codes:
///
/// ```text
/// coded! {
///     #[derive(Debug, Clone, PartialEq, Eq)]
///     pub enum Attempt as AttemptKind {
///         Delivered = 1 => "delivered",
///         Refused { reason: String } = 2 => "refused",
///     }
/// }
/// ```
///
/// gives `Attempt`, `AttemptKind` as above, and `Attempt::kind`.
///
/// `enum Fate: Serde` also derives `Serialize`, `Deserialize` and `ToSchema` by those names, and
/// `enum Fate: Display` prints them (`: Serde, Display` does both; `as AttemptKind: Serde` does it
/// for the kind).
macro_rules! coded {
    ($(#[$meta:meta])* $vis:vis enum $name:ident as $kind:ident $(: $more:ident)? {
        $($(#[$doc:meta])* $variant:ident $(($($tuple:tt)+))? $({ $($field:tt)+ })?
            $(= $code:tt)? $(=> $word:tt)?),+ $(,)?
    }) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$doc])* $variant $(($($tuple)+))? $({ $($field)+ })?),+
        }

        impl $name {
            /// Returns the variant without its fields.
            $vis const fn kind(&self) -> $kind {
                match self {
                    $(Self::$variant { .. } => $kind::$variant),+
                }
            }
        }

        coded! {
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            $vis enum $kind $(: $more)? {
                $($variant $(= $code)? $(=> $word)?),+
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident: Serde $(, $more:ident)? {
        $($(#[$doc:meta])* $variant:ident $(= $code:tt)? => $word:tt),+ $(,)?
    }) => {
        coded! {
            $(#[$meta])*
            #[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
            $vis enum $name $(: $more)? {
                $($(#[$doc])* #[serde(rename = $word)] $variant $(= $code)? => $word),+
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident: Display { $($variants:tt)+ }) => {
        coded! { $(#[$meta])* $vis enum $name { $($variants)+ } }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $code:literal => $word:literal),+ $(,)?
    }) => {
        coded!(@enum $(#[$meta])* $vis $name $($(#[$doc])* $variant)+);
        coded!(@code $vis $name $($variant $code)+);
        coded!(@name $vis $name $($variant $word)+);
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?
    }) => {
        coded!(@enum $(#[$meta])* $vis $name $($(#[$doc])* $variant)+);
        coded!(@code $vis $name $($variant $code)+);
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident => $word:literal),+ $(,)?
    }) => {
        coded!(@enum $(#[$meta])* $vis $name $($(#[$doc])* $variant)+);
        coded!(@name $vis $name $($variant $word)+);
    };
    (@enum $(#[$meta:meta])* $vis:vis $name:ident $($(#[$doc:meta])* $variant:ident)+) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$doc])* $variant),+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            $vis const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }

        // A private enum need not use all that it is given.
        const _: usize = $name::ALL.len();
    };
    (@code $vis:vis $name:ident $($variant:ident $code:literal)+) => {
        impl $name {
            /// The number in the tables.
            $vis const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code),+
                }
            }

            $vis const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        const _: fn(u8) -> Option<$name> = $name::from_code;
    };
    (@name $vis:vis $name:ident $($variant:ident $word:literal)+) => {
        impl $name {
            /// The word in the API and in logs.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            $vis fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        const _: fn($name) -> &'static str = $name::name;
        const _: fn(&str) -> Option<$name> = $name::from_name;
    };
}

pub(crate) use coded;
