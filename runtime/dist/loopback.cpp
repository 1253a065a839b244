// runtime/dist/loopback.cpp — ranks that are threads of one process: a queue between each two.
#include <condition_variable>
#include <deque>
#include <mutex>

#include "sparsert/dist.hpp"

namespace sparsert::dist {
namespace {

struct World {
  explicit World(int ranks) : size(ranks), queues(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks)) {}

  std::deque<Message>& queue(int from, int to) {
    return queues[static_cast<std::size_t>(from) * static_cast<std::size_t>(size) + static_cast<std::size_t>(to)];
  }

  int size;
  std::mutex mutex;
  std::condition_variable came;
  std::vector<std::deque<Message>> queues;
};

class Loopback : public Transport {
 public:
  Loopback(std::shared_ptr<World> world, int rank) : world_(std::move(world)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return world_->size; }

  void send(int to, Message message) override {
    {
      const std::lock_guard lock(world_->mutex);
      world_->queue(rank_, to).push_back(std::move(message));
    }
    world_->came.notify_all();
  }

  std::optional<Message> receive(int from) override {
    const std::lock_guard lock(world_->mutex);
    std::deque<Message>& queue = world_->queue(from, rank_);
    if (queue.empty()) return {};
    Message message = std::move(queue.front());
    queue.pop_front();
    return message;
  }

  void wait(std::chrono::microseconds limit) override {
    std::unique_lock lock(world_->mutex);
    for (int from = 0; from < world_->size; ++from) {
      if (!world_->queue(from, rank_).empty()) return;
    }
    world_->came.wait_for(lock, std::min(limit, std::chrono::microseconds(2000)));
  }

 private:
  std::shared_ptr<World> world_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> loopback(int size) {
  require(size >= 1 && size <= 4096,
          [&] { return "dist::loopback: size is " + std::to_string(size) + ", expected 1 to 4096"; });
  const auto world = std::make_shared<World>(size);
  std::vector<std::unique_ptr<Transport>> ends;
  for (int rank = 0; rank < size; ++rank) ends.push_back(std::make_unique<Loopback>(world, rank));
  return ends;
}

}  // namespace sparsert::dist
