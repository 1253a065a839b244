// bench/peers/find.cpp — every peer there is.
#include <set>
#include <utility>

#include "bench/peers/peer.hpp"

namespace sparsert::bench {

std::vector<Peer> find_peers(const std::vector<std::string>& paths) {
  std::vector<Peer> peers;
  add_blas(paths, peers);
  add_mkl(paths, peers);
  add_onednn(paths, peers);
  add_librsb(paths, peers);
  add_plugins(paths, peers);
  // A wheel may carry the same library under several names.
  std::set<std::pair<std::string, std::string>> seen;
  std::erase_if(peers, [&](const Peer& peer) { return !seen.insert({peer.name, peer.version}).second; });
  return peers;
}

}  // namespace sparsert::bench
