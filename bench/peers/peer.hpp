// bench/peers/peer.hpp — other libraries, opened at run time where they are installed, behind one interface.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sparsert::bench {

/// C = A·B as a peer is given it: float32, A (m x k) both as CSR and dense, row-major. With `column_major`, B and C
/// are column-major: the layer y = x·Wᵀ. Whoever owns the arrays keeps them until the peer's run is gone.
struct Product {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
  std::int64_t nnz;
  const std::int32_t* row_offsets;
  const std::int32_t* columns;
  const float* values;
  const float* dense;
  const float* b;
  float* c;
  bool column_major;
  int threads;
};

enum class PeerKind : std::uint8_t { sparse, dense };

/// One library that multiplies matrices.
struct Peer {
  std::string name;  ///< "OpenBLAS", "MKL sparse", ...
  std::string version;
  std::string path;  ///< of the library
  PeerKind kind;
  /// What is done once per matrix; the result computes C at each call. Null where the peer has no such product.
  std::function<std::function<void()>(const Product&)> prepare;
};

/// The peers found in the dynamic linker's path and in `paths` (folders, searched first and below).
std::vector<Peer> find_peers(const std::vector<std::string>& paths);

// One function per library family; each adds what it finds.
void add_blas(const std::vector<std::string>& paths, std::vector<Peer>& peers);
void add_mkl(const std::vector<std::string>& paths, std::vector<Peer>& peers);
void add_onednn(const std::vector<std::string>& paths, std::vector<Peer>& peers);
void add_librsb(const std::vector<std::string>& paths, std::vector<Peer>& peers);
void add_plugins(const std::vector<std::string>& paths, std::vector<Peer>& peers);

}  // namespace sparsert::bench
