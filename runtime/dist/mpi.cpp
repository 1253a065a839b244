// runtime/dist/mpi.cpp — Open MPI, opened at run time: libsparsert runs where there is none.
//
// Its C interface is fixed but for the handles, which are addresses of objects with known names. Sends and receives
// never wait: messages leave by MPI_Isend and are taken when MPI_Iprobe sees one.
#include <dlfcn.h>

#include <algorithm>
#include <limits>
#include <list>

#include "sparsert/dist.hpp"

namespace sparsert::dist {
namespace {

/// As <mpi.h> of Open MPI declares it.
struct MpiStatus {
  int source;
  int tag;
  int error;
  int cancelled;
  std::size_t count;
};

constexpr int kTag = 7301;
constexpr int kThreadSerialized = 2;
constexpr const char* kNames[] = {"libmpi.so.40", "libmpi.so.80", "libmpi.so"};

struct Mpi {
  int (*initialized)(int*);
  int (*finalized)(int*);
  int (*init_thread)(int*, char***, int, int*);
  int (*finalize)();
  int (*comm_rank)(void*, int*);
  int (*comm_size)(void*, int*);
  int (*isend)(const void*, int, void*, int, int, void*, void**);
  int (*iprobe)(int, int, void*, int*, MpiStatus*);
  int (*get_count)(const MpiStatus*, void*, int*);
  int (*recv)(void*, int, void*, int, int, void*, MpiStatus*);
  int (*test)(void**, int*, MpiStatus*);
  void* world = nullptr;
  void* byte = nullptr;
};

template <class F>
bool find(void* handle, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(handle, name));
  return function != nullptr;
}

std::optional<Mpi> open_mpi() {
  for (const char* name : kNames) {
    void* const handle = dlopen(name, RTLD_NOW | RTLD_GLOBAL);  // its own plugins look for its symbols
    if (handle == nullptr) continue;
    Mpi mpi{};
    mpi.world = dlsym(handle, "ompi_mpi_comm_world");
    mpi.byte = dlsym(handle, "ompi_mpi_byte");
    if (mpi.world != nullptr && mpi.byte != nullptr && find(handle, "MPI_Initialized", mpi.initialized) &&
        find(handle, "MPI_Finalized", mpi.finalized) && find(handle, "MPI_Init_thread", mpi.init_thread) &&
        find(handle, "MPI_Finalize", mpi.finalize) && find(handle, "MPI_Comm_rank", mpi.comm_rank) &&
        find(handle, "MPI_Comm_size", mpi.comm_size) && find(handle, "MPI_Isend", mpi.isend) &&
        find(handle, "MPI_Iprobe", mpi.iprobe) && find(handle, "MPI_Get_count", mpi.get_count) &&
        find(handle, "MPI_Recv", mpi.recv) && find(handle, "MPI_Test", mpi.test)) {
      return mpi;
    }
    dlclose(handle);
  }
  return {};
}

void check(const char* call, int code) {
  if (code != 0) throw CommError(std::string("dist::mpi: ") + call + " gave " + std::to_string(code));
}

class MpiTransport : public Transport {
 public:
  explicit MpiTransport(const Mpi& mpi) : mpi_(mpi) {
    int ready = 0;
    check("MPI_Initialized", mpi_.initialized(&ready));
    if (ready == 0) {
      int provided = 0;
      check("MPI_Init_thread", mpi_.init_thread(nullptr, nullptr, kThreadSerialized, &provided));
      ours_ = true;
    }
    check("MPI_Comm_rank", mpi_.comm_rank(mpi_.world, &rank_));
    check("MPI_Comm_size", mpi_.comm_size(mpi_.world, &size_));
  }

  ~MpiTransport() override {
    int over = 0;
    mpi_.finalized(&over);
    // With messages that nobody took, MPI_Finalize would wait for peers that may be gone.
    if (ours_ && over == 0 && finish_sends()) mpi_.finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void send(int to, Message message) override {
    require(message.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()), [] {
      return std::string("dist::mpi: a message has 2^31 bytes or more, expected max_message to be lower");
    });
    sends_.push_back({std::move(message), nullptr});
    Pending& pending = sends_.back();
    check("MPI_Isend", mpi_.isend(pending.message.data(), static_cast<int>(pending.message.size()), mpi_.byte, to, kTag,
                                  mpi_.world, &pending.request));
    finish_sends();
  }

  std::optional<Message> receive(int from) override {
    finish_sends();
    int there = 0;
    MpiStatus status{};
    check("MPI_Iprobe", mpi_.iprobe(from, kTag, mpi_.world, &there, &status));
    if (there == 0) return {};
    int count = 0;
    check("MPI_Get_count", mpi_.get_count(&status, mpi_.byte, &count));
    Message message(static_cast<std::size_t>(count));
    check("MPI_Recv", mpi_.recv(message.data(), count, mpi_.byte, from, kTag, mpi_.world, &status));
    return message;
  }

 private:
  struct Pending {
    Message message;
    void* request;
  };

  /// Forgets the sends that are done. True where none is left.
  bool finish_sends() {
    for (auto pending = sends_.begin(); pending != sends_.end();) {
      int done = 0;
      MpiStatus status{};
      const bool gone = mpi_.test(&pending->request, &done, &status) != 0 || done != 0;
      pending = gone ? sends_.erase(pending) : std::next(pending);
    }
    return sends_.empty();
  }

  Mpi mpi_;
  std::list<Pending> sends_;
  int rank_ = 0;
  int size_ = 1;
  bool ours_ = false;
};

}  // namespace

std::unique_ptr<Transport> mpi() {
  const std::optional<Mpi> found = open_mpi();
  if (!found) {
    throw Error(ErrorCode::not_supported,
                "dist::mpi: no Open MPI was found, expected one of libmpi.so.40, "
                "libmpi.so.80, libmpi.so");
  }
  return std::make_unique<MpiTransport>(*found);
}

}  // namespace sparsert::dist
