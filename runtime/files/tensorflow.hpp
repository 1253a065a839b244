// runtime/files/tensorflow.hpp — TensorFlow's frozen graphs, saved models and checkpoints.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::tensorflow {

/// A GraphDef: the constants of a frozen graph and of its functions.
bool sniff_graph(const Source& source);
std::unique_ptr<Reader> open_graph(const Source& source);

/// saved_model.pb: the variables in `variables/` beside it, or the constants of its graph where there are none.
bool sniff_saved_model(const Source& source);
std::unique_ptr<Reader> open_saved_model(const Source& source);

/// The index of a checkpoint; the tensors are in PREFIX.data-* beside it.
bool sniff_checkpoint(const Source& source);
std::unique_ptr<Reader> open_checkpoint(const Source& source);

}  // namespace sparsert::files::tensorflow
