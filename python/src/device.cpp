// python/src/device.cpp — devices, threads, and what CUDA says of itself.
#include <nanobind/stl/vector.h>

#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

std::optional<std::string> version_text(int version) {
  if (version == 0) return std::nullopt;
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Device& device : devices()) names.push_back(to_string(device));
  return names;
}

void bind_cuda(nb::module_& module) {
  nb::class_<cuda::DeviceProperties>(module, "DeviceProperties", "What one GPU says of itself.")
      .def_ro("id", &cuda::DeviceProperties::id)
      .def_ro("name", &cuda::DeviceProperties::name)
      .def_prop_ro("compute_capability",
                   [](const cuda::DeviceProperties& p) {
                     return nb::typed<nb::tuple, int, int>(
                         nb::make_tuple(p.compute_capability_major, p.compute_capability_minor));
                   })
      .def_ro("memory_total", &cuda::DeviceProperties::memory_total, "Bytes.")
      .def_ro("memory_free", &cuda::DeviceProperties::memory_free, "Bytes, at the time of the call.")
      .def_ro("multiprocessors", &cuda::DeviceProperties::multiprocessors)
      .def("__repr__", [](const cuda::DeviceProperties& p) {
        return "DeviceProperties(id=" + std::to_string(p.id) + ", name='" + p.name + "')";
      });

  module.def("cuda_is_available", &cuda::is_available);
  module.def("cuda_device_count", &cuda::device_count);
  module.def("cuda_version", [] { return version_text(cuda::status().runtime_version); });
  module.def("cuda_driver_version", [] { return version_text(cuda::status().driver_version); });
  module.def("cuda_unavailable_reason", []() -> std::optional<std::string> {
    if (cuda::is_available()) return std::nullopt;
    return cuda::status().detail;
  });
  module.def("cuda_current_device", &cuda::current_device);
  module.def("cuda_set_device", &cuda::set_device, nb::arg("device"));
  module.def("cuda_device_properties", &cuda::device_properties, nb::arg("device"));
  module.def("cuda_synchronize", [] { unlocked([] { cuda::synchronize(); }); });
}

}  // namespace

Device as_device(const std::optional<std::string>& name, const Device& otherwise) {
  return name ? Device::parse(*name) : otherwise;
}

void bind_device(nb::module_& module) {
  module.def("devices", device_names,
             "The devices usable here: \"cpu\", \"reference\", \"simt\" when built in, and every \"cuda:N\".");
  module.def(
      "default_device", [] { return to_string(default_device().device); },
      "The first CUDA device if one is usable, else \"cpu\". Chosen once.");
  module.def(
      "default_device_reason", [] { return default_device().reason; }, "Why `default_device()` is what it is.");
  module.def("set_num_threads", &set_num_threads, nb::arg("threads"),
             "Threads the CPU backend uses from now on; 0 means all. ValueError for a negative count.");
  module.def("get_num_threads", &num_threads, "Threads the CPU backend uses.");
  bind_cuda(module);
}

}  // namespace sparsert::python
