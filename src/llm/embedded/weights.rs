//! Reads a GGUF file: settings, norms, and weights in their eight-bit form.
//!
//! **Why**: `Q4_1` and `Q8_0` blocks become codes with a scale and a shift without loss, a third of the size of `f32`,
//! so that reading weights does not bound how fast tokens are written.

use super::kernel::{BLOCK, Weights};
use crate::error::{Error, Result};
use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// An open GGUF file.
pub(super) struct Gguf {
    pub(super) content: Content,
    file: BufReader<File>,
    name: String,
}

impl Gguf {
    /// Opens it and reads its head.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = format!("path={}", path.display());
        let file = File::open(path)
            .map_err(|cause| Error::unavailable(format!("model file unreadable: {name}")).because(cause))?;
        let mut file = BufReader::new(file);
        let content = Content::read(&mut file).map_err(|cause| {
            Error::unavailable(format!("model file is no GGUF: {name}")).because(cause.to_string())
        })?;
        Ok(Self { content, file, name })
    }

    fn broken(&self, what: &str) -> Error {
        Error::unavailable(format!("model file is not of the kind we run: {what}, {}", self.name))
    }

    /// A number among the settings.
    pub(super) fn number(&self, key: &str) -> Result<usize> {
        let value = self.content.metadata.get(key).and_then(|value| value.to_u64().ok());
        value.and_then(|value| usize::try_from(value).ok()).ok_or_else(|| self.broken(key))
    }

    /// A fraction among the settings.
    pub(super) fn fraction(&self, key: &str) -> Result<f32> {
        match self.content.metadata.get(key) {
            Some(Value::F32(value)) => Ok(*value),
            _ => Err(self.broken(key)),
        }
    }

    fn tensor(&mut self, name: &str) -> Result<QTensor> {
        self.content
            .tensor(&mut self.file, name, &Device::Cpu)
            .map_err(|cause| self.broken(name).because(cause.to_string()))
    }

    /// A tensor of plain numbers.
    pub(super) fn plain(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        let numbers =
            tensor.dequantize(&Device::Cpu).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1::<f32>());
        let numbers = numbers.map_err(|cause| self.broken(name).because(cause.to_string()))?;
        if numbers.len() == length { Ok(numbers) } else { Err(self.broken(name)) }
    }

    /// A matrix of `rows × columns`.
    pub(super) fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Weights> {
        let tensor = self.tensor(name)?;
        if tensor.shape().dims() != [rows, columns] || !columns.is_multiple_of(BLOCK) {
            return Err(self.broken(name));
        }
        let data = tensor.data().map_err(|cause| self.broken(name).because(cause.to_string()))?;
        let mut weights = Weights {
            rows,
            columns,
            codes: Vec::with_capacity(rows * columns),
            scales: Vec::with_capacity(rows * columns / BLOCK),
            shifts: Vec::with_capacity(rows * columns / BLOCK),
        };
        match tensor.dtype() {
            GgmlDType::Q4_1 => q4_1(&data, &mut weights),
            GgmlDType::Q8_0 => q8_0(&data, &mut weights),
            _ => return Err(self.broken(name)),
        }
        if weights.codes.len() == rows * columns { Ok(weights) } else { Err(self.broken(name)) }
    }
}

/// Blocks of scale, shift, and 32 codes of four bits: the low halves come first.
fn q4_1(data: &[u8], into: &mut Weights) {
    for block in data.as_chunks::<20>().0 {
        let [a, b, c, d, codes @ ..] = block;
        into.scales.push(half(*a, *b));
        into.shifts.push(half(*c, *d));
        into.codes.extend(codes.iter().map(|pair| pair & 15));
        into.codes.extend(codes.iter().map(|pair| pair >> 4));
    }
}

/// Blocks of scale and 32 signed codes, stored here with 128 added.
fn q8_0(data: &[u8], into: &mut Weights) {
    for block in data.as_chunks::<34>().0 {
        let [a, b, codes @ ..] = block;
        let scale = half(*a, *b);
        into.scales.push(scale);
        into.shifts.push(scale * -128.0);
        into.codes.extend(codes.iter().map(|code| code.wrapping_add(128)));
    }
}

/// A half-precision number.
fn half(low: u8, high: u8) -> f32 {
    let bits = u32::from(u16::from_le_bytes([low, high]));
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 31, bits & 0x3ff);
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 * 2.0f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}
