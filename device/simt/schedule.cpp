// device/simt/schedule.cpp — which thread of a block runs next, and who waits for whom.
//
// A thread runs on a fiber until it waits. The next one is taken from the queue of those that may go on, else from
// those that have not begun; so a warp is done before the next begins unless a barrier of the block holds it. A fiber
// whose thread has exited starts the next thread without a switch.
#include <algorithm>
#include <bit>
#include <sstream>

#include "device/simt/state.hpp"

namespace sparsert::simt {
namespace {

constexpr std::uint32_t kNone = ~0u;

std::string at(const SourceLocation& where) {
  const std::string_view path = where.file;
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1)) + ":" +
         std::to_string(where.line);
}

std::string hex(std::uint32_t mask) {
  std::ostringstream text;
  text << "0x" << std::hex << mask;
  return text.str();
}

/// "thread (3, 0, 0) waits in __syncwarp(0xff) at kernel.cu:30".
std::string activity_of(std::uint32_t t) {
  const Thread& thread = engine->thread[t];
  switch (thread.state) {
    case State::unstarted: return name_of_thread(t) + " has not begun";
    case State::ready: return name_of_thread(t) + " runs";
    case State::exited: return name_of_thread(t) + " has exited";
    case State::at_barrier: return name_of_thread(t) + " waits in " + thread.waits_in + " at " + at(thread.where);
    case State::in_warp_operation:
      return name_of_thread(t) + " waits in " + thread.waits_in + " with mask " + hex(thread.mask) + " at " +
             at(thread.where);
  }
  return "";
}

void take_place(std::uint32_t t) {
  Engine& e = *engine;
  const Warp& warp = e.warp[t / kWarp];
  const std::uint32_t lane = t % kWarp;
  e.current = t;
  position.thread = e.thread[t].index;
  position.lane = lane;
  e.now.stamp = Stamp(e.interval, warp.epoch[lane], t);
  e.now.known = warp.known[lane].data();
}

[[noreturn]] void fault_deadlock() {
  // Whoever waits in a warp operation waits for a lane that will not come; else all wait at the barrier for nobody.
  Engine& e = *engine;
  for (std::uint32_t t = 0; t < e.threads; ++t) {
    const Thread& thread = e.thread[t];
    if (thread.state != State::in_warp_operation) continue;
    const Warp& warp = e.warp[t / kWarp];
    const auto group = std::find_if(warp.waiting.begin(), warp.waiting.end(), [&](const Group& g) {
      return g.mask == thread.mask && (g.arrived >> (t % kWarp) & 1u) != 0;
    });
    const auto missing = static_cast<std::uint32_t>(std::countr_zero(group->mask & ~group->arrived));
    take_place(t);
    fault([&] {
      return "deadlock in " + std::string(thread.waits_in) + " with mask " + hex(thread.mask) + " at " +
             at(thread.where) + ": " + activity_of(t / kWarp * kWarp + missing);
    });
  }
  take_place(e.first_at_barrier);
  fault([] { return std::string("deadlock: no thread of the block can go on"); });
}

/// The next thread to run; kNone when all have exited. Everyone waiting is a deadlock.
std::uint32_t next_thread() {
  Engine& e = *engine;
  if (!e.ready.empty()) {
    if (const Fiber* const soon = e.thread[e.ready.soon()].fiber; soon != nullptr) soon->prefetch();
    return e.ready.pop();
  }
  if (e.started < e.threads) {
    const std::uint32_t t = e.reverse ? e.threads - 1 - e.started : e.started;
    ++e.started;
    return t;
  }
  if (e.exited < e.threads) fault_deadlock();
  return kNone;
}

void thread_main();

Fiber* free_fiber() {
  Engine& e = *engine;
  if (e.free_fibers.empty()) {
    e.fibers.push_back(std::make_unique<Fiber>(&thread_main, e.fibers.size()));
    return e.fibers.back().get();
  }
  Fiber* const fiber = e.free_fibers.back();
  e.free_fibers.pop_back();
  return fiber;
}

/// Leaves the running thread, which waits, until it is its turn again.
void wait() {
  Engine& e = *engine;
  const std::uint32_t self = e.current;
  const std::uint32_t next = next_thread();
  if (next == self) {
    e.thread[self].state = State::ready;
    take_place(self);
    return;
  }
  Thread& thread = e.thread[next];
  if (thread.state == State::unstarted) thread.fiber = free_fiber();
  thread.state = State::ready;
  take_place(next);
  Fiber::switch_fiber(*e.thread[self].fiber, *thread.fiber);
}

void exit_thread() {
  Engine& e = *engine;
  const std::uint32_t self = e.current;
  Warp& warp = e.warp[self / kWarp];
  const std::uint32_t bit = 1u << (self % kWarp);
  if (e.at_barrier != 0) {
    fault([&] { return "divergent barrier: it exits while " + activity_of(e.first_at_barrier); });
  }
  for (const Group& group : warp.waiting) {
    if ((group.mask & bit) == 0) continue;
    const auto waiting = static_cast<std::uint32_t>(std::countr_zero(group.arrived));
    fault(
        [&] { return "it exits, named in the mask of an operation: " + activity_of(self / kWarp * kWarp + waiting); });
  }
  warp.exited |= bit;
  e.thread[self].state = State::exited;
  e.last_exited = self;
  ++e.exited;
  if (e.profiled && warp.exited == warp.present) flush_profile(self / kWarp);
}

/// A fiber's life: one thread after another, of this block and of all later ones.
void thread_main() {
  for (;;) {
    Engine& e = *engine;
    try {
      e.call(e.closure);
    } catch (...) {
      e.fault = std::current_exception();
    }
    if (e.fault) stop();  // outside of the handler: the next launch must not find it open
    Fiber* const self = e.thread[e.current].fiber;
    exit_thread();
    const std::uint32_t next = next_thread();
    if (next == kNone) {
      e.free_fibers.push_back(self);
      Fiber::switch_fiber(*self, e.host);
    } else if (Thread& thread = e.thread[next]; thread.state == State::unstarted) {
      thread.fiber = self;
      thread.state = State::ready;
      take_place(next);
    } else {
      e.free_fibers.push_back(self);
      thread.state = State::ready;
      take_place(next);
      Fiber::switch_fiber(*self, *thread.fiber);
    }
  }
}

void release_lanes(std::uint32_t warp, std::uint32_t mask) {
  Engine& e = *engine;
  while (mask != 0) {
    const auto lane = static_cast<std::uint32_t>(e.reverse ? 31 - std::countl_zero(mask) : std::countr_zero(mask));
    mask &= ~(1u << lane);
    e.ready.push(warp * kWarp + lane);
  }
}

/// All lanes of the mask have met: what each did so far is known to the others.
void meet(Warp& warp, std::uint32_t mask) {
  std::array<std::uint32_t, kWarp> all{};
  for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    for (std::uint32_t other = 0; other < kWarp; ++other) all[other] = std::max(all[other], warp.known[lane][other]);
  }
  for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    all[lane] = warp.epoch[lane];
    warp.epoch[lane] = std::min(warp.epoch[lane] + 1, kMaxEpoch);
  }
  for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) != 0) warp.known[lane] = all;
  }
  warp.synchronized = true;
}

template <class T, class F>
std::uint64_t reduce(const Warp& warp, std::uint32_t mask, F combine) {
  auto result = static_cast<T>(warp.value[static_cast<std::size_t>(std::countr_zero(mask))]);
  for (std::uint32_t rest = mask & (mask - 1); rest != 0; rest &= rest - 1) {
    result = combine(result, static_cast<T>(warp.value[static_cast<std::size_t>(std::countr_zero(rest))]));
  }
  return static_cast<std::uint32_t>(result);
}

std::uint64_t reduce(const Warp& warp, WarpOp op, std::uint32_t mask) {
  using U = std::uint32_t;
  using I = std::int32_t;
  switch (op) {
    case WarpOp::add: return reduce<U>(warp, mask, [](U a, U b) { return a + b; });
    case WarpOp::min_unsigned: return reduce<U>(warp, mask, [](U a, U b) { return std::min(a, b); });
    case WarpOp::max_unsigned: return reduce<U>(warp, mask, [](U a, U b) { return std::max(a, b); });
    case WarpOp::min_signed: return reduce<I>(warp, mask, [](I a, I b) { return std::min(a, b); });
    case WarpOp::max_signed: return reduce<I>(warp, mask, [](I a, I b) { return std::max(a, b); });
    case WarpOp::bit_and: return reduce<U>(warp, mask, [](U a, U b) { return a & b; });
    case WarpOp::bit_or: return reduce<U>(warp, mask, [](U a, U b) { return a | b; });
    default: return reduce<U>(warp, mask, [](U a, U b) { return a ^ b; });
  }
}

std::uint32_t equal_lanes(const Warp& warp, std::uint32_t mask, std::uint64_t value) {
  std::uint32_t equal = 0;
  for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) != 0 && warp.value[lane] == value) equal |= 1u << lane;
  }
  return equal;
}

void complete(Warp& warp, WarpOp op, std::uint32_t mask) {
  std::uint64_t common = 0;
  switch (op) {
    case WarpOp::sync: meet(warp, mask); return;
    case WarpOp::shuffle:
      for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
        warp.result[lane] = warp.value[warp.source[lane]];
      }
      return;
    case WarpOp::match_any:
      for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
        warp.result[lane] = equal_lanes(warp, mask, warp.value[lane]);
      }
      return;
    case WarpOp::ballot: common = equal_lanes(warp, mask, 1); break;
    case WarpOp::match_all: {
      const std::uint64_t first = warp.value[static_cast<std::size_t>(std::countr_zero(mask))];
      common = equal_lanes(warp, mask, first) == mask ? mask : 0;
      break;
    }
    default: common = reduce(warp, op, mask); break;
  }
  for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1u) != 0) warp.result[lane] = common;
  }
}

/// The running thread comes to a barrier that `other` will not come to, or not to the same one.
[[noreturn]] void fault_divergent(const char* name, const SourceLocation& where, std::uint32_t other) {
  fault([&] {
    return "divergent barrier: it comes to " + std::string(name) + " at " + at(where) + ", but " + activity_of(other);
  });
}

void check_mask(const Warp& warp, const char* name, std::uint32_t mask, std::uint32_t source, bool reads_lane,
                SourceLocation where) {
  const std::uint32_t lane = engine->current % kWarp;
  const auto say = [&](const auto& what) {
    fault([&] { return std::string(name) + " at " + at(where) + ": " + what(); });
  };
  if ((mask >> lane & 1u) == 0) {
    say([&] { return "mask " + hex(mask) + " does not name the calling lane " + std::to_string(lane); });
  }
  if (const std::uint32_t absent = mask & ~warp.present; absent != 0) {
    say([&] {
      return "mask " + hex(mask) + " names lane " + std::to_string(std::countr_zero(absent)) +
             ", which the block does not have";
    });
  }
  if (const std::uint32_t gone = mask & warp.exited; gone != 0) {
    say([&] {
      return "mask " + hex(mask) + " names lane " + std::to_string(std::countr_zero(gone)) + ", which has exited";
    });
  }
  if (reads_lane && (mask >> source & 1u) == 0) {
    say([&] { return "it reads lane " + std::to_string(source) + ", which is not in mask " + hex(mask); });
  }
}

}  // namespace

void flush_profile(std::uint32_t warp) {
  Engine& e = *engine;
  e.profile.flush(warp, static_cast<std::uint32_t>(std::popcount(e.warp[warp].present)), e.counters);
}

void next_interval() {
  Engine& e = *engine;
  ++e.interval;
  for (Warp& warp : e.warp) {
    if (!warp.synchronized) continue;
    warp.epoch.fill(1);
    warp.known = {};
    warp.synchronized = false;
  }
}

void rewind_fibers() {
  Engine& e = *engine;
  e.free_fibers.clear();
  for (const auto& fiber : e.fibers) {
    fiber->rewind();
    e.free_fibers.push_back(fiber.get());
  }
}

void run_block() {
  Engine& e = *engine;
  for (Thread& thread : e.thread) thread.state = State::unstarted;
  for (Warp& warp : e.warp) {
    warp.exited = 0;
    warp.waiting.clear();
  }
  e.started = e.exited = e.at_barrier = e.predicates = 0;
  e.ready.clear();
  next_interval();
  e.now.block_begin = e.interval;
  const std::uint32_t first = next_thread();
  e.thread[first].fiber = free_fiber();
  e.thread[first].state = State::ready;
  take_place(first);
  Fiber::switch_fiber(e.host, *e.thread[first].fiber);
}

std::uint32_t block_barrier(const char* name, bool predicate, SourceLocation where) {
  Engine& e = *engine;
  const std::uint32_t self = e.current;
  Thread& thread = e.thread[self];
  thread.waits_in = name;
  thread.where = where;
  if (e.exited != 0) {
    fault_divergent(name, where, e.last_exited);
  }
  if (e.at_barrier == 0) {
    e.first_at_barrier = self;
  } else if (const Thread& first = e.thread[e.first_at_barrier];
             first.where.line != where.line || first.waits_in != name) {
    fault_divergent(name, where, e.first_at_barrier);
  }
  thread.state = State::at_barrier;
  e.predicates += predicate ? 1 : 0;
  if (++e.at_barrier == e.threads) {
    e.barrier_result = e.predicates;
    e.at_barrier = e.predicates = 0;
    ++e.counters.barriers;
    for (std::uint32_t w = 0; e.profiled && w < e.warp.size(); ++w) flush_profile(w);
    next_interval();
    for (std::uint32_t t = 0; t < e.threads; ++t) e.ready.push(e.reverse ? e.threads - 1 - t : t);
  }
  wait();
  return e.barrier_result;
}

std::uint64_t warp_operation(WarpOp op, const char* name, std::uint32_t mask, std::uint64_t value, std::uint32_t source,
                             SourceLocation where) {
  Engine& e = *engine;
  const std::uint32_t self = e.current;
  const std::uint32_t lane = self % kWarp;
  Warp& warp = e.warp[self / kWarp];
  check_mask(warp, name, mask, source, op == WarpOp::shuffle, where);
  Thread& thread = e.thread[self];
  thread.waits_in = name;
  thread.mask = mask;
  thread.where = where;
  thread.state = State::in_warp_operation;
  warp.value[lane] = value;
  warp.source[lane] = source;
  auto group = std::find_if(warp.waiting.begin(), warp.waiting.end(),
                            [&](const Group& g) { return g.mask == mask && g.op == op; });
  if (group == warp.waiting.end()) group = warp.waiting.insert(group, Group{op, mask, 0});
  group->arrived |= 1u << lane;
  if (group->arrived == mask) {
    warp.waiting.erase(group);
    complete(warp, op, mask);
    if (e.profiled && op == WarpOp::sync && mask == warp.present) flush_profile(self / kWarp);
    release_lanes(self / kWarp, mask);
  }
  wait();
  return warp.result[lane];
}

std::uint32_t active_mask() {
  const Warp& warp = engine->warp[engine->current / kWarp];
  return warp.present & ~warp.exited;
}

}  // namespace sparsert::simt
