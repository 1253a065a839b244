// runtime/files/keras_archive.hpp — Keras 3's .keras: a zip archive of a configuration and the weights as HDF5 or npz.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::keras {

bool sniff_archive(const Source& source);
std::unique_ptr<Reader> open_archive(const Source& source);

}  // namespace sparsert::files::keras
