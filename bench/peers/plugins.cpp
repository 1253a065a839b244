// bench/peers/plugins.cpp — opens the plugins: beside the program, in a build tree, or where peers are looked for.
#include <filesystem>
#include <memory>

#include "bench/peers/library.hpp"
#include "bench/peers/peer.hpp"
#include "bench/peers/plugin.hpp"

namespace sparsert::bench {
namespace {

using GetPeer = const SparsertPeer*(int);

std::function<void()> prepare(const SparsertPeer* peer, const Product& p) {
  const SparsertPeerProduct product{p.m,      p.k,     p.n, p.nnz, p.row_offsets,  p.columns,
                                    p.values, p.dense, p.b, p.c,   p.column_major, p.threads};
  void* const state = peer->prepare(&product);
  if (state == nullptr) return nullptr;
  const std::shared_ptr<void> owner(state, peer->release);
  return [owner, run = peer->run] { run(owner.get()); };
}

// The best build of a plugin for this machine first: only that one is taken.
std::vector<std::string> builds() {
  std::vector<std::string> levels;
  __builtin_cpu_init();
  // By features: clang 14 does not know the levels by name.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) levels.emplace_back("v4");
  if (v3) levels.emplace_back("v3");
  return levels;
}

}  // namespace

void add_plugins(const std::vector<std::string>& paths, std::vector<Peer>& peers) {
  std::error_code error;
  std::vector<std::string> folders = paths;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  folders.push_back(program.string());
  folders.push_back((program / "../bench").string());  // of a build tree, seen from `sparsert` and the tests
  for (const char* const name : {"eigen", "libxsmm"}) {
    std::optional<Library> library;
    for (const std::string& level : builds()) {
      for (const std::string& folder : folders) {
        if (!library) library = Library::open(folder + "/sparsert-peer-" + name + "-" + level + ".so");
      }
    }
    if (!library) continue;
    auto* const get = library->get<GetPeer>("sparsert_peer");
    if (get == nullptr) continue;
    for (int index = 0; const SparsertPeer* const peer = get(index); ++index) {
      peers.push_back({peer->name, peer->version, library->path(),
                       peer->dense != 0 ? PeerKind::dense : PeerKind::sparse,
                       [peer](const Product& product) { return prepare(peer, product); }});
    }
  }
}

}  // namespace sparsert::bench
