// runtime/files/gguf_blocks.hpp — blocks of quantized values in GGUF, as float32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsert::files::gguf {

/// True for the types (numbers as in the file) that `dequantize_block` knows: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 with 32
/// values a block, Q4_K, Q5_K, Q6_K with 256.
bool is_dequantized(std::uint32_t code) noexcept;

/// The values of one block.
void dequantize_block(std::uint32_t code, const std::byte* block, float* out) noexcept;

}  // namespace sparsert::files::gguf
