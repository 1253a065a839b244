// python/src/files.cpp — model files, and the names and tensors they hold.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/vector.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using Metadata = std::map<std::string, std::string>;

/// A Tensor, or a Csr or Coo where the file holds the tensor sparse.
nb::object value_of(const StateDict& state, const std::string& name) {
  if (state.is_sparse(name)) {
    return std::visit([](const auto& matrix) { return nb::cast(matrix); }, state.sparse_at(name).matrix);
  }
  if (state.contains(name)) return nb::cast(state.at(name));
  try {
    return nb::cast(state.at(name));
  } catch (const Error& error) {
    throw nb::key_error(error.what());
  }
}

/// Dense tensors first, then sparse ones.
nb::list names_of(const StateDict& state) {
  nb::list names;
  for (const auto& [name, tensor] : state.entries()) names.append(name);
  for (const auto& [name, tensor] : state.sparse_entries()) names.append(name);
  return names;
}

/// A state dict, or any mapping of names to arrays. Arrays are shared, not copied.
StateDict as_state(const char* op, nb::handle mapping) {
  if (nb::isinstance<StateDict>(mapping)) return nb::cast<const StateDict&>(mapping);
  if (!nb::hasattr(mapping, "items")) {
    throw nb::type_error((std::string(op) + ": state is of type " + Py_TYPE(mapping.ptr())->tp_name +
                          ", expected a mapping of names to tensors")
                             .c_str());
  }
  StateDict state;
  for (const nb::handle item : mapping.attr("items")()) {
    const nb::object name = item[0];
    if (!PyUnicode_Check(name.ptr())) {
      throw nb::type_error(
          (std::string(op) + ": a name is of type " + Py_TYPE(name.ptr())->tp_name + ", expected str").c_str());
    }
    auto text = nb::cast<std::string>(name);
    Tensor tensor = as_tensor(op, text.c_str(), item[1]);
    state.insert(std::move(text), std::move(tensor));
  }
  return state;
}

StateDict load_file(const std::filesystem::path& path, const std::string& device,
                    const std::vector<std::string>& include, const std::vector<std::string>& exclude,
                    const std::map<std::string, std::string>& rename, const std::string& select, bool dequantize,
                    const std::string& layout, bool strict, std::optional<std::uint64_t> max_bytes, bool mmap) {
  LoadOptions options;
  options.device = Device::parse(device);
  options.include = include;
  options.exclude = exclude;
  options.rename = rename;
  options.select = select;
  options.dequantize = dequantize;
  options.strict = strict;
  require(layout == "stored" || layout == "torch",
          [&] { return "load: layout is '" + layout + "', expected 'stored' or 'torch'"; });
  options.torch_layout = layout == "torch";
  if (max_bytes) options.max_bytes = *max_bytes;
  options.mmap = mmap;
  return unlocked([&] { return load(path, options); });
}

void save_file(const std::filesystem::path& path, nb::handle mapping, const std::optional<Metadata>& metadata) {
  StateDict state = as_state("save", mapping);
  if (metadata) state.metadata() = *metadata;
  unlocked([&] { save(path, state); });
}

void bind_state(nb::module_& module) {
  nb::class_<StateDict>(module, "StateDict", "Names to tensors, in order, with a file's metadata: a read-only mapping.")
      .def(
          "__init__",
          [](StateDict* self, nb::handle mapping, const std::optional<Metadata>& metadata) {
            StateDict state = mapping.is_none() ? StateDict() : as_state("StateDict", mapping);
            if (metadata) state.metadata() = *metadata;
            new (self) StateDict(std::move(state));
          },
          nb::arg("state") = nb::none(), nb::arg("metadata") = nb::none(),
          nb::sig(
              "def __init__(self, state: StateDict | collections.abc.Mapping[str, typing.Any] | None = None, metadata: "
              "collections.abc.Mapping[str, str] | None = None) -> None"))
      .def("__getitem__", &value_of, nb::arg("name"), nb::sig("def __getitem__(self, name: str) -> typing.Any"),
           "A Tensor, or a Csr or Coo where the file holds it sparse. KeyError, with close names.")
      .def(
          "__contains__",
          [](const StateDict& state, nb::handle name) {
            return PyUnicode_Check(name.ptr()) && state.contains(nb::cast<std::string>(name));
          },
          nb::arg("name"), nb::sig("def __contains__(self, name: object) -> bool"))
      .def("__len__", &StateDict::size)
      .def(
          "__iter__", [](const StateDict& state) { return nb::iter(names_of(state)); },
          nb::sig("def __iter__(self) -> collections.abc.Iterator[str]"))
      .def("keys", &names_of, nb::sig("def keys(self) -> list[str]"))
      .def(
          "values",
          [](const StateDict& state) {
            nb::list tensors;
            for (const nb::handle name : names_of(state)) tensors.append(value_of(state, nb::cast<std::string>(name)));
            return tensors;
          },
          nb::sig("def values(self) -> list[typing.Any]"))
      .def(
          "items",
          [](const StateDict& state) {
            nb::list items;
            for (const nb::handle name : names_of(state)) {
              items.append(nb::make_tuple(name, value_of(state, nb::cast<std::string>(name))));
            }
            return items;
          },
          nb::sig("def items(self) -> list[tuple[str, typing.Any]]"))
      .def(
          "get",
          [](const StateDict& state, const std::string& name, nb::object otherwise) {
            return state.contains(name) ? value_of(state, name) : otherwise;
          },
          nb::arg("name"), nb::arg("default") = nb::none(),
          nb::sig("def get(self, name: str, default: typing.Any = None) -> typing.Any"))
      .def(
          "to",
          [](const StateDict& state, const std::string& device) {
            const Device target = Device::parse(device);
            return unlocked([&] { return state.to(target); });
          },
          nb::arg("device"), "Every tensor on `device`. DeviceUnavailable with the reason.")
      .def_prop_ro(
          "metadata", [](const StateDict& state) { return Metadata(state.metadata()); },
          "A copy of the file's metadata.")
      .def_prop_ro("nbytes", &StateDict::nbytes)
      .def("__repr__", [](const StateDict& state) {
        return "StateDict(" + std::to_string(state.size()) + " tensors, " + std::to_string(state.nbytes()) + " bytes)";
      });
}

void bind_info(nb::module_& module) {
  nb::class_<TensorInfo>(module, "TensorInfo", "What a file says of one tensor.")
      .def_ro("name", &TensorInfo::name)
      .def_ro("dtype", &TensorInfo::dtype, "As the file spells it.")
      .def_prop_ro(
          "loadable", [](const TensorInfo& info) { return info.storage.has_value(); },
          "False for a dtype that is listed, and refused by `load`.")
      .def_prop_ro("shape", [](const TensorInfo& info) { return shape_tuple(info.shape); })
      .def_ro("offset", &TensorInfo::offset, "Of the data, from the start of the file.")
      .def_ro("nbytes", &TensorInfo::nbytes, "In the file.")
      .def_prop_ro(
          "layout",
          [](const TensorInfo& info) {
            return info.layout == Layout::dense ? "dense" : info.layout == Layout::coo ? "coo" : "csr";
          },
          "'dense', 'coo' or 'csr'.")
      .def_ro("file", &TensorInfo::file, "Beneath the model's folder, where the model has more than one.")
      .def_ro("tied_to", &TensorInfo::tied_to, "An earlier tensor that is the same memory, or ''.")
      .def_ro("refusal", &TensorInfo::refusal, "Why it is not loaded, where its dtype is not the reason.")
      .def_prop_ro(
          "axes", [](const TensorInfo& info) { return std::string(info.axes); },
          "Order of a weight's dimensions where the format says so: 'HWIO', 'IO', ...; else ''.")
      .def_prop_ro(
          "quantization",
          [](const TensorInfo& info) -> nb::object {
            if (!info.quantization) return nb::none();
            return nb::make_tuple(info.quantization->scales, info.quantization->zero_points, info.quantization->axis);
          },
          nb::sig("def quantization(self) -> tuple[list[float], list[int], int] | None"),
          "(scales, zero points, axis) of quantized integers.")
      .def("__repr__", [](const TensorInfo& info) {
        return "TensorInfo('" + info.name + "', " + info.dtype + ", " + to_string(info.shape) + ")";
      });
  nb::class_<FileInfo>(module, "FileInfo", "What a file says of itself.")
      .def_ro("path", &FileInfo::path)
      .def_ro("format", &FileInfo::format)
      .def_ro("tensors", &FileInfo::tensors)
      .def_ro("metadata", &FileInfo::metadata)
      .def("__repr__", [](const FileInfo& info) {
        return "FileInfo('" + info.path.string() + "', " + info.format + ", " + std::to_string(info.tensors.size()) +
               " tensors)";
      });
}

}  // namespace

void bind_files(nb::module_& module) {
  bind_state(module);
  bind_info(module);
  module.def(
      "load", &load_file, nb::arg("path"), nb::arg("device") = "cpu", nb::arg("include") = std::vector<std::string>(),
      nb::arg("exclude") = std::vector<std::string>(), nb::arg("rename") = std::map<std::string, std::string>(),
      nb::arg("select") = "", nb::arg("dequantize") = false, nb::arg("layout") = "stored", nb::arg("strict") = false,
      nb::arg("max_bytes") = nb::none(), nb::arg("mmap") = false,
      "Reads a model file or folder; its content decides the format. Nothing in it is executed.\n\n"
      "`include`, `exclude`: globs (*, ?) of names. `rename`: new names by the file's. `select`: which model, where a\n"
      "folder holds several. `dequantize`: quantized integers as float32. `layout`: 'torch' brings weights whose axes\n"
      "the format states into PyTorch's order. `strict`: refuse what is not a tensor or a plain value. `max_bytes`: a\n"
      "limit on the tensors loaded, 16 GiB unless said. `mmap`: CPU tensors are read-only views of the mapped file\n"
      "where it has them as they are, without a copy; for files that nobody writes or cuts short meanwhile.\n"
      "FileError with format, offset and reason; ValueError for a glob that matches nothing.");
  module.def(
      "save", &save_file, nb::arg("path"), nb::arg("state"), nb::arg("metadata") = nb::none(),
      nb::sig("def save(path: str | os.PathLike[str], state: StateDict | collections.abc.Mapping[str, typing.Any], "
              "metadata: collections.abc.Mapping[str, str] | None = None) -> None"),
      "Writes a state, or a mapping of names to arrays, as safetensors: complete, or not at all. FileError.");
  module.def(
      "inspect_file", [](const std::filesystem::path& path) { return unlocked([&] { return inspect_file(path); }); },
      nb::arg("path"), "Names, types, shapes and places only, without reading the tensors. FileError.");
}

}  // namespace sparsert::python
