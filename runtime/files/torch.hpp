// runtime/files/torch.hpp — PyTorch checkpoints: zip archives since 1.6, runs of pickles before, TorchScript archives.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::torch {

inline constexpr const char* kZipFormat = "torch";
inline constexpr const char* kLegacyFormat = "torch legacy";

bool sniff_zip(const Source& source);
std::unique_ptr<Reader> open_zip(const Source& source);

bool sniff_legacy(const Source& source);
std::unique_ptr<Reader> open_legacy(const Source& source);

}  // namespace sparsert::files::torch
