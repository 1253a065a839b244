// bench/peers/libxsmm_plugin.cpp — LIBXSMM's sparse-dense product, one thread.
#include <libxsmm.h>

#include "bench/peers/plugin.hpp"

namespace {

struct State {
  SparsertPeerProduct product;
  libxsmm_spmdm_handle handle;
  libxsmm_CSR_sparseslice* slices;
};

void* prepare(const SparsertPeerProduct* product) {
  constexpr std::int64_t kNarrowest = 16;
  if (product->n < kNarrowest || product->threads != 1 || product->column_major != 0) return nullptr;
  libxsmm_init();
  auto* const state = new State{*product, {}, nullptr};
  libxsmm_spmdm_init(static_cast<int>(product->m), static_cast<int>(product->n), static_cast<int>(product->k), 1,
                     &state->handle, &state->slices);
  for (int block = 0; block < libxsmm_spmdm_get_num_createSparseSlice_blocks(&state->handle); ++block) {
    libxsmm_spmdm_createSparseSlice_fp32_thread(&state->handle, 'N', product->dense, state->slices, block, 0, 1);
  }
  return state;
}

void run(void* pointer) {
  auto* const state = static_cast<State*>(pointer);
  const float one = 1.0f;
  const float zero = 0.0f;
  for (int block = 0; block < libxsmm_spmdm_get_num_compute_blocks(&state->handle); ++block) {
    libxsmm_spmdm_compute_fp32_thread(&state->handle, 'N', 'N', &one, state->slices, state->product.b, 'N', &zero,
                                      state->product.c, block, 0, 1);
  }
}

void release(void* pointer) {
  auto* const state = static_cast<State*>(pointer);
  libxsmm_spmdm_destroy(&state->handle);
  delete state;
}

}  // namespace

const SparsertPeer* sparsert_peer(int index) {
  static const SparsertPeer peer{"LIBXSMM spmdm", LIBXSMM_CONFIG_VERSION, 0, &prepare, &run, &release};
  return index == 0 ? &peer : nullptr;
}
