// runtime/files/hdf5.hpp — HDF5 files of Keras and h5py, and Keras' own archives around them.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::hdf5 {

bool sniff(const Source& source);
std::unique_ptr<Reader> open(const Source& source);

}  // namespace sparsert::files::hdf5
