// device/libraries.cpp — opening cuBLAS, cuSPARSE and the CPU's BLAS at run time, and what each says of itself.
#include "device/libraries.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include "sparsert/device.hpp"

namespace sparsert {
namespace libraries {
namespace {

// Newest first.
constexpr std::array kCublas = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};
constexpr std::array kCusparse = {"libcusparse.so.12", "libcusparse.so"};
constexpr std::array kBlas = {"libopenblas.so.0", "libopenblas.so", "libblis.so.4",
                              "libblis.so",       "libmkl_rt.so.2", "libmkl_rt.so"};

SharedLibrary open_for_cuda(std::span<const char* const> files) {
  return cuda::is_available() ? SharedLibrary::open(files) : SharedLibrary();
}

SharedLibrary open_blas() {
  const char* const chosen = std::getenv("SPARSERT_BLAS");
  if (chosen == nullptr) return SharedLibrary::open(kBlas);
  if (std::string(chosen) == "none") return {};
  return SharedLibrary::open(std::span(&chosen, 1));
}

}  // namespace

const SharedLibrary& cublas() {
  static const auto* const library = new SharedLibrary(open_for_cuda(kCublas));
  return *library;
}

const SharedLibrary& cusparse() {
  static const auto* const library = new SharedLibrary(open_for_cuda(kCusparse));
  return *library;
}

const SharedLibrary& blas() {
  static const auto* const library = new SharedLibrary(open_blas());
  return *library;
}

}  // namespace libraries

namespace {

/// `query` is `int f(int part, int* value)`: the parts are major, minor, patch.
Library describe(const char* name, const SharedLibrary& library, const char* query) {
  Library description{name, static_cast<bool>(library), ""};
  if (!description.found) return description;
  using Query = int(int part, int* value);
  const auto ask = library.get<Query>(query);
  std::string version;
  for (int part = 0; part < 3; ++part) {
    int value = 0;
    if (ask == nullptr || ask(part, &value) != 0) {
      version = "unknown";
      break;
    }
    if (part != 0) version += '.';
    version += std::to_string(value);
  }
  description.version = version;
  return description;
}

/// OpenBLAS says "OpenBLAS 0.3.21 DYNAMIC_ARCH ...", of which two words are wanted.
std::string first_words(const std::string& text) {
  const std::size_t space = text.find(' ');
  return space == std::string::npos ? text : text.substr(0, text.find(' ', space + 1));
}

}  // namespace

Library cpu_blas() {
  const SharedLibrary& library = libraries::blas();
  Library description{"blas", static_cast<bool>(library), ""};
  if (!description.found) return description;
  const auto openblas = library.get<const char*()>("openblas_get_config");
  description.version = openblas != nullptr ? first_words(openblas()) : library.file();
  return description;
}

namespace cuda {

const std::vector<Library>& libraries() {
  static const auto* const all =
      new std::vector<Library>{describe("cusparse", sparsert::libraries::cusparse(), "cusparseGetProperty"),
                               describe("cublas", sparsert::libraries::cublas(), "cublasGetProperty")};
  return *all;
}

}  // namespace cuda
}  // namespace sparsert
