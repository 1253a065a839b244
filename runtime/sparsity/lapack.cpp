// runtime/sparsity/lapack.cpp — LAPACK opened at run time: its Fortran names, 32-bit integers.
#include "runtime/sparsity/lapack.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "sparsert/error.hpp"

namespace sparsert::lapack {
namespace {

template <class T>
struct Routines {
  using Gesdd = void (*)(const char*, const int*, const int*, T*, const int*, T*, T*, const int*, T*, const int*, T*,
                         const int*, int*, int*, std::size_t);
  using Geqrf = void (*)(const int*, const int*, T*, const int*, T*, T*, const int*, int*);
  using Orgqr = void (*)(const int*, const int*, const int*, T*, const int*, const T*, T*, const int*, int*);
  Gesdd gesdd = nullptr;
  Geqrf geqrf = nullptr;
  Orgqr orgqr = nullptr;
};

struct Library {
  std::string name;
  Routines<float> single_precision;
  Routines<double> double_precision;
};

/// A routine by its Fortran name; the OpenBLAS inside SciPy's wheels has a prefix.
template <class F>
bool find(void* handle, const std::string& name, F& function) {
  for (const char* prefix : {"", "scipy_"}) {
    if (void* const symbol = dlsym(handle, (prefix + name + "_").c_str())) {
      function = reinterpret_cast<F>(symbol);
      return true;
    }
  }
  return false;
}

template <class T>
bool find_all(void* handle, char letter, Routines<T>& routines) {
  return find(handle, letter + std::string("gesdd"), routines.gesdd) &&
         find(handle, letter + std::string("geqrf"), routines.geqrf) &&
         find(handle, letter + std::string("orgqr"), routines.orgqr);
}

constexpr const char* kNames[] = {"liblapack.so.3", "libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2",
                                  "libmkl_rt.so"};

Library open_library() {
  std::vector<std::string> names;
  if (const char* const chosen = std::getenv("SPARSERT_LAPACK"); chosen != nullptr && *chosen != '\0') {
    names.emplace_back(chosen);
  } else {
    names.assign(std::begin(kNames), std::end(kNames));
  }
  for (const std::string& name : names) {
    void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) continue;
    Library found{name, {}, {}};
    if (find_all(handle, 's', found.single_precision) && find_all(handle, 'd', found.double_precision)) return found;
    dlclose(handle);
  }
  return {};
}

const Library& instance() {
  static const Library* const opened = new Library(open_library());  // leaked: its threads may outlive statics
  return *opened;
}

template <class T>
const Routines<T>& routines() {
  if constexpr (std::is_same_v<T, float>) return instance().single_precision;
  else return instance().double_precision;
}

int narrow(const char* op, std::int64_t n) {
  require(n <= std::numeric_limits<int>::max(),
          [&] { return std::string(op) + ": " + std::to_string(n) + " elements, expected fewer than LAPACK counts"; });
  return static_cast<int>(n);
}

void check(const char* op, const char* routine, int info) {
  if (info == 0) return;
  throw Error(ErrorCode::internal, std::string(op) + ": LAPACK's " + routine + " gave " + std::to_string(info));
}

}  // namespace

const std::string& library() { return instance().name; }

void require_library(const char* op) {
  if (!library().empty()) return;
  std::string names;
  for (const char* name : kNames) names += std::string(names.empty() ? "" : ", ") + name;
  throw Error(ErrorCode::not_supported,
              std::string(op) + ": no LAPACK was found, expected one of " + names + ", or its path in SPARSERT_LAPACK");
}

template <class T>
void svd(const char* op, std::int64_t rows, std::int64_t cols, T* a, T* s, T* u, T* vt) {
  const int m = narrow(op, rows);
  const int n = narrow(op, cols);
  const int k = std::min(m, n);
  std::vector<int> integers(static_cast<std::size_t>(8) * static_cast<std::size_t>(k));
  T size = 0;
  int query = -1;
  int info = 0;
  const auto gesdd = routines<T>().gesdd;
  gesdd("S", &m, &n, a, &m, s, u, &m, vt, &k, &size, &query, integers.data(), &info, 1);
  check(op, "gesdd", info);
  const int length = narrow(op, static_cast<std::int64_t>(size) + 1);
  std::vector<T> work(static_cast<std::size_t>(length));
  gesdd("S", &m, &n, a, &m, s, u, &m, vt, &k, work.data(), &length, integers.data(), &info, 1);
  check(op, "gesdd", info);
}

template <class T>
void orthonormalize(const char* op, std::int64_t rows, std::int64_t cols, T* a) {
  const int m = narrow(op, rows);
  const int n = narrow(op, cols);
  std::vector<T> tau(static_cast<std::size_t>(n));
  T size = 0;
  int query = -1;
  int info = 0;
  routines<T>().geqrf(&m, &n, a, &m, tau.data(), &size, &query, &info);
  check(op, "geqrf", info);
  const int length = std::max(narrow(op, static_cast<std::int64_t>(size) + 1), 64 * n);
  std::vector<T> work(static_cast<std::size_t>(length));
  routines<T>().geqrf(&m, &n, a, &m, tau.data(), work.data(), &length, &info);
  check(op, "geqrf", info);
  routines<T>().orgqr(&m, &n, &n, a, &m, tau.data(), work.data(), &length, &info);
  check(op, "orgqr", info);
}

template void svd(const char*, std::int64_t, std::int64_t, float*, float*, float*, float*);
template void svd(const char*, std::int64_t, std::int64_t, double*, double*, double*, double*);
template void orthonormalize(const char*, std::int64_t, std::int64_t, float*);
template void orthonormalize(const char*, std::int64_t, std::int64_t, double*);

}  // namespace sparsert::lapack
