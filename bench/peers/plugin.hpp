// bench/peers/plugin.hpp — a peer compiled into a library of its own: header-only and static peers, built for what the
// machine has and opened at run time like the others.
#pragma once

#include <cstdint>

/// bench::Product in C.
struct SparsertPeerProduct {
  std::int64_t m, k, n, nnz;
  const std::int32_t* row_offsets;
  const std::int32_t* columns;
  const float* values;
  const float* dense;
  const float* b;
  float* c;
  int column_major;
  int threads;
};

/// What a plugin exports as `sparsert_peer`. `prepare` gives null where it has no such product.
struct SparsertPeer {
  const char* name;
  const char* version;
  int dense;
  void* (*prepare)(const SparsertPeerProduct*);
  void (*run)(void*);
  void (*release)(void*);
};

extern "C" __attribute__((visibility("default"))) const SparsertPeer* sparsert_peer(int index);
