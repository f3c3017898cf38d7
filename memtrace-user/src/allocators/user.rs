//! Functions that the user names: `--alloc 'lib:func(size=arg1)'` and `--free 'lib:func(ptr=arg0)'`.
//!
//! The grammar, with blanks allowed between its parts:
//!
//! ```text
//! FUNCTION  = FILE ":" NAME "(" [KEY "=" VALUE {"," KEY "=" VALUE}] ")"
//! FILE      = "exe" | a pattern with * ? [..] for the path, the file's name or its soname
//! NAME      = symbol | 0x…, the address in the file
//! of --alloc: size=argN      the bytes asked for (needed)
//!             count=argN     times that many
//!             ptr=argN       a block that is given back in exchange, as realloc does
//!             result=ret     the block is returned (the default)
//!             result=*argN   the block is stored where argument N points to
//!             ok=zero        the function returns an int: 0 on success
//! of --free:  ptr=argN       the block (needed)
//! argN      = arg0 … arg5, integers and pointers counted from the left; the object of a C++ method is arg0
//! ```

use globset::{GlobBuilder, GlobMatcher};
use memtrace_common::call::ARGUMENTS;
use thiserror::Error;

use super::Call;

/// A function that the user has named.
#[derive(Debug, Clone)]
pub struct UserFunction {
    /// As it was written.
    pub text: String,
    /// Its symbol, or its address in the file.
    pub name: FunctionName,
    /// What it does.
    pub call: Call,
    file: FilePattern,
}

/// How a function is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionName {
    /// By its symbol.
    Symbol(String),
    /// By its address in the file, before relocation.
    Address(u64),
}

#[derive(Debug, Clone)]
enum FilePattern {
    Any,
    Executable,
    Matching(GlobMatcher),
}

/// What is wrong with a function as it was written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UserFunctionError {
    /// It has another form.
    #[error(
        "`{0}` is no function: write FILE:NAME(size=arg0), as libpool.so*:pool_alloc(size=arg1) or exe:take(size=arg0)"
    )]
    Form(String),
    /// Its pattern of files is malformed.
    #[error("`{0}` is no pattern of file names")]
    Pattern(String),
    /// An address that is no number.
    #[error("`{0}` is no address: write it as 0x4011d0")]
    Address(String),
    /// A key that the grammar does not have.
    #[error("`{key}` means nothing here; known: {known}")]
    Key {
        /// The key.
        key: String,
        /// Those that do.
        known: &'static str,
    },
    /// A value that the key does not take.
    #[error("{key}={value}: {key} is {expected}")]
    Value {
        /// The key.
        key: String,
        /// What was written.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// A key was left out.
    #[error("`{0}` lacks {1}=argN")]
    Missing(String, &'static str),
}

const ALLOCATION_KEYS: &str = "size, count, ptr, result, ok";
const ARGUMENT: &str = "an argument, arg0 to arg5";

impl UserFunction {
    /// A function that was found at an address, of whichever file is looked at.
    #[must_use]
    pub fn at(address: u64, call: Call) -> Self {
        let name = FunctionName::Address(address);
        Self { text: format!("{address:#x}"), name, call, file: FilePattern::Any }
    }

    /// Reads the value of `--alloc`.
    ///
    /// # Errors
    /// [`UserFunctionError`] with the part that is wrong.
    pub fn allocating(text: &str) -> Result<Self, UserFunctionError> {
        let (file, name, pairs) = parts(text)?;
        let (mut size, mut count, mut block, mut stored_at, mut zero) = (None, None, None, None, false);
        for (key, value) in pairs {
            match (key, value) {
                ("size", _) => size = Some(argument(key, value)?),
                ("count", _) => count = Some(argument(key, value)?),
                ("ptr", _) => block = Some(argument(key, value)?),
                ("result", "ret") => stored_at = None,
                ("result", _) => stored_at = Some(stored(value)?),
                ("ok", "zero") => zero = true,
                ("ok", _) => return Err(wrong(key, value, "zero, or left out")),
                _ => return Err(UserFunctionError::Key { key: key.into(), known: ALLOCATION_KEYS }),
            }
        }
        let size = size.ok_or_else(|| UserFunctionError::Missing(text.into(), "size"))?;
        let mut call = block.map_or(Call::allocate(size), |block| Call::reallocate(block, size));
        call = count.map_or(call, |count| call.times(count));
        call = stored_at.map_or(call, |at| call.stored_at(at));
        call = if zero { call.zero_is_success() } else { call };
        Ok(Self { text: text.into(), name, call, file })
    }

    /// Reads the value of `--free`.
    ///
    /// # Errors
    /// [`UserFunctionError`] with the part that is wrong.
    pub fn freeing(text: &str) -> Result<Self, UserFunctionError> {
        let (file, name, pairs) = parts(text)?;
        let mut block = None;
        for (key, value) in pairs {
            match key {
                "ptr" => block = Some(argument(key, value)?),
                _ => return Err(UserFunctionError::Key { key: key.into(), known: "ptr" }),
            }
        }
        let block = block.ok_or_else(|| UserFunctionError::Missing(text.into(), "ptr"))?;
        Ok(Self { text: text.into(), name, call: Call::release(block), file })
    }

    /// Whether it is looked for in a file.
    #[must_use]
    pub fn is_in(&self, path: &str, soname: Option<&str>, is_executable: bool) -> bool {
        match &self.file {
            FilePattern::Any => true,
            FilePattern::Executable => is_executable,
            FilePattern::Matching(pattern) => {
                let name = path.rsplit('/').next().unwrap_or(path);
                [Some(path), Some(name), soname].into_iter().flatten().any(|text| pattern.is_match(text))
            }
        }
    }
}

/// All functions that the user has named.
#[derive(Debug, Clone, Default)]
pub struct UserFunctions(pub Vec<UserFunction>);

type Parts<'a> = (FilePattern, FunctionName, Vec<(&'a str, &'a str)>);

fn parts(text: &str) -> Result<Parts<'_>, UserFunctionError> {
    let form = || UserFunctionError::Form(text.into());
    let (head, list) = text.trim().strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(form)?;
    // The last colon: those before it belong to the path.
    let (file, name) = head.rsplit_once(':').ok_or_else(form)?;
    let (file, name) = (file.trim(), name.trim());
    if file.is_empty() || name.is_empty() {
        return Err(form());
    }
    let pairs = list.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').map(|(key, value)| (key.trim(), value.trim())));
    Ok((file_pattern(file)?, function_name(name)?, pairs.collect::<Option<_>>().ok_or_else(form)?))
}

fn file_pattern(text: &str) -> Result<FilePattern, UserFunctionError> {
    if text == "exe" {
        return Ok(FilePattern::Executable);
    }
    let pattern = GlobBuilder::new(text).build().map_err(|_| UserFunctionError::Pattern(text.into()))?;
    Ok(FilePattern::Matching(pattern.compile_matcher()))
}

fn function_name(text: &str) -> Result<FunctionName, UserFunctionError> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(FunctionName::Symbol(text.into())) };
    let address = u64::from_str_radix(digits, 16).map_err(|_| UserFunctionError::Address(text.into()))?;
    Ok(FunctionName::Address(address))
}

fn wrong(key: &str, value: &str, expected: &'static str) -> UserFunctionError {
    UserFunctionError::Value { key: key.into(), value: value.into(), expected }
}

fn argument(key: &str, value: &str) -> Result<u8, UserFunctionError> {
    let index = value.strip_prefix("arg").and_then(|digits| digits.parse::<u8>().ok());
    index.filter(|index| usize::from(*index) < ARGUMENTS).ok_or_else(|| wrong(key, value, ARGUMENT))
}

fn stored(value: &str) -> Result<u8, UserFunctionError> {
    let place = value.strip_prefix('*').and_then(|value| argument("result", value).ok());
    place.ok_or_else(|| wrong("result", value, "ret, or *arg0 to *arg5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_of(text: &str) -> Call {
        UserFunction::allocating(text).expect("a function").call
    }

    /// Each key of the grammar has its meaning.
    #[test]
    fn allocations_are_read() {
        assert_eq!(call_of("libpool.so*:pool_alloc(size=arg1)"), Call::allocate(1));
        assert_eq!(call_of("exe:take( size = arg0 , count=arg1 )"), Call::allocate(0).times(1));
        assert_eq!(call_of("exe:grow(ptr=arg1,size=arg2)"), Call::reallocate(1, 2));
        let stored = Call::allocate(2).stored_at(0).zero_is_success();
        assert_eq!(call_of("exe:make(size=arg2,result=*arg0,ok=zero)"), stored);
        assert_eq!(call_of("exe:make(size=arg2,result=ret)"), Call::allocate(2));
        let freeing = UserFunction::freeing("exe:0x4011d0(ptr=arg1)").expect("a function");
        assert_eq!((freeing.call, freeing.name), (Call::release(1), FunctionName::Address(0x40_11d0)));
    }

    /// What is wrong is named, with what would be right.
    #[test]
    fn mistakes_are_named() {
        let said = |text: &str| UserFunction::allocating(text).expect_err(text).to_string();
        insta::assert_snapshot!(
            [
                "pool_alloc",
                "lib:f",
                ":f(size=arg0)",
                "lib:f(arg0)",
                "lib:f(size=arg6)",
                "lib:f(size=rdi)",
                "lib:f(bytes=arg0)",
                "lib:f(count=arg0)",
                "lib:f(size=arg0,result=arg1)",
                "lib:f(size=arg0,ok=1)",
                "lib[:f(size=arg0)",
                "exe:0xg(size=arg0)",
            ]
            .map(said)
            .join("\n")
        );
        assert_eq!(
            UserFunction::freeing("lib:f(size=arg0)").expect_err("no key of --free").to_string(),
            "`size` means nothing here; known: ptr"
        );
    }

    /// A file is meant by its path, its name, its soname, or as the executable.
    #[test]
    fn files_are_matched() {
        let is_in = |file: &str, path, soname, exe| {
            UserFunction::freeing(&format!("{file}:f(ptr=arg0)")).expect("a function").is_in(path, soname, exe)
        };
        assert!(is_in("libpool.so", "/opt/lib/libpool.so", None, false));
        assert!(is_in("libpool.so.?", "/opt/lib/libpool-1.2.so", Some("libpool.so.1"), false));
        assert!(is_in("/opt/*/libpool*", "/opt/a/b/libpool.so", None, false));
        assert!(!is_in("libpool.so", "/opt/lib/libpools.so", None, true));
        assert!(is_in("exe", "/usr/bin/server", None, true));
        assert!(!is_in("exe", "/usr/lib/exe", None, false));
    }
}
