// bench/peers/find.cpp — every peer there is.
#include "bench/peers/peer.hpp"

namespace sparsert::bench {

std::vector<Peer> find_peers(const std::vector<std::string>& paths) {
  std::vector<Peer> peers;
  add_blas(paths, peers);
  add_mkl(paths, peers);
  add_onednn(paths, peers);
  add_librsb(paths, peers);
  return peers;
}

}  // namespace sparsert::bench
