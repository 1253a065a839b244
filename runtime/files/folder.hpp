// runtime/files/folder.hpp — which model a folder holds, and models of several files.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files {

/// Opens the model of a folder: the layouts of the Hugging Face hub and its cache, sentence-transformers, diffusers and
/// TensorFlow, or the one model file that it or a folder such as weights/ holds. Throws `FileError`; where there are
/// several models, one that lists them and says how to choose.
std::unique_ptr<Reader> open_folder(const std::filesystem::path& path, const LoadOptions& options);

/// Opens a file that the caller named: a model file, or the index of a model in several files.
std::unique_ptr<Reader> open_file(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace sparsert::files
