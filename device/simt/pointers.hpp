// device/simt/pointers.hpp — device memory as a kernel sees it on the host: every access goes through the checker.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "device/simt/engine.hpp"

namespace sparsert::backend {
inline namespace simt_ {

namespace checked {

namespace engine = ::sparsert::simt;
using engine::Bounds;
using engine::Space;

// Inlined always, so that the return address tells the accesses of a kernel apart.
template <class T>
[[gnu::always_inline]] inline void check_bounds(Space space, const T* p, const Bounds& bounds) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  if (at < bounds.begin || at + sizeof(T) > bounds.end) {
    engine::fault_out_of_bounds(space, p, sizeof(T), bounds);
  }
}

template <class T>
[[gnu::always_inline]] inline T read(Space space, const T* p) {
  if (engine::position.checked) engine::note_read(space, p, sizeof(T), alignof(T));
  return *p;
}

template <class T>
[[gnu::always_inline]] inline void write(Space space, T* p, const T& value) {
  if (engine::position.checked) engine::note_write(space, p, sizeof(T), alignof(T));
  *p = value;
}

/// What `p[i]` is where it may be written. Cannot be kept: `auto x = p[i]` would read later than it says.
template <class T, Space kSpace>
class [[nodiscard]] Reference {
 public:
  [[gnu::always_inline]] explicit Reference(T* p) : p_(p) {}
  Reference(const Reference&) = delete;

  [[gnu::always_inline]] operator T() && { return read(kSpace, p_); }
  [[gnu::always_inline]] T operator=(const T& value) && {
    write(kSpace, p_, value);
    return value;
  }
  [[gnu::always_inline]] T operator=(Reference&& other) && {
    const T value = static_cast<Reference&&>(other);
    write(kSpace, p_, value);
    return value;
  }
  [[gnu::always_inline]] T operator+=(const T& value) && {
    const T sum = static_cast<T>(read(kSpace, p_) + value);
    write(kSpace, p_, sum);
    return sum;
  }
  [[gnu::always_inline]] T operator-=(const T& value) && {
    const T difference = static_cast<T>(read(kSpace, p_) - value);
    write(kSpace, p_, difference);
    return difference;
  }
  [[gnu::always_inline]] T operator|=(const T& value) && {
    const T bits = static_cast<T>(read(kSpace, p_) | value);
    write(kSpace, p_, bits);
    return bits;
  }

 private:
  T* p_;
};

template <class T, Space kSpace>
class Pointer {
 public:
  using Value = std::remove_const_t<T>;

  Pointer() = default;
  Pointer(std::nullptr_t) {}
  /// A raw pointer to global memory. Its bounds are those of the block it points into.
  Pointer(T* p) requires(kSpace == Space::global) : p_(p), bounds_(engine::bounds_of(p)) {}
  Pointer(T* p, const Bounds& bounds) : p_(p), bounds_(bounds) {}
  /// To const. A template, so that no compiler takes it for a copy constructor, which has to stay trivial.
  template <class U>
  requires std::is_same_v<T, const U> Pointer(const Pointer<U, kSpace>& other)
      : p_(other.raw()), bounds_(other.bounds()) {}
  Pointer(const Pointer&) = default;
  Pointer& operator=(const Pointer&) = default;

  template <std::integral I>
  [[gnu::always_inline]] decltype(auto) operator[](I i) const {
    T* const p = p_ + i;
    if (engine::position.checked) check_bounds(kSpace, p, bounds_);
    if constexpr (std::is_const_v<T>) {
      return read(kSpace, p);
    } else {
      return Reference<T, kSpace>(p);
    }
  }
  [[gnu::always_inline]] decltype(auto) operator*() const { return (*this)[0]; }

  template <std::integral I>
  Pointer operator+(I n) const {
    return {p_ + n, bounds_};
  }
  template <std::integral I>
  Pointer operator-(I n) const {
    return {p_ - n, bounds_};
  }
  template <std::integral I>
  Pointer& operator+=(I n) {
    p_ += n;
    return *this;
  }
  Pointer& operator++() {
    ++p_;
    return *this;
  }
  std::ptrdiff_t operator-(const Pointer& other) const { return p_ - other.p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool operator==(std::nullptr_t) const { return p_ == nullptr; }
  bool operator==(const Pointer& other) const { return p_ == other.p_; }

  T* raw() const { return p_; }
  const Bounds& bounds() const { return bounds_; }

 private:
  T* p_ = nullptr;
  Bounds bounds_;
};

template <class T>
inline constexpr bool is_array = false;

}  // namespace checked

/// Global memory.
template <class T>
using Global = checked::Pointer<T, checked::Space::global>;

/// Shared memory.
template <class T>
using SharedPointer = checked::Pointer<T, checked::Space::shared>;

/// N elements in shared memory; T may be a SharedArray itself.
template <class T, std::int64_t N>
struct SharedArray {
  T elements[N];

  template <std::integral I>
  [[gnu::always_inline]] decltype(auto) operator[](I i) {
    if (checked::engine::position.checked && (i < 0 || static_cast<std::int64_t>(i) >= N)) {
      checked::engine::fault_index(static_cast<std::int64_t>(i), N);
    }
    if constexpr (checked::is_array<T>) {
      return (elements[i]);
    } else {
      return checked::Reference<T, checked::Space::shared>(elements + i);
    }
  }

  /// A pointer to the first element.
  SharedPointer<T> data() {
    const auto begin = reinterpret_cast<std::uintptr_t>(elements);
    return {elements, {begin, begin + sizeof(elements)}};
  }

  static constexpr std::int64_t size() { return N; }
};

namespace checked {
template <class T, std::int64_t N>
inline constexpr bool is_array<SharedArray<T, N>> = true;
}  // namespace checked

/// The same memory as elements of another type.
template <class U, class T, checked::Space kSpace>
checked::Pointer<U, kSpace> pointer_cast(const checked::Pointer<T, kSpace>& p) {
  return {reinterpret_cast<U*>(p.raw()), p.bounds()};
}

/// The kernel's static shared memory of this type; the same for every caller in a block. Undefined at the start.
template <class Shared>
Shared& shared() {
  static_assert(std::is_trivially_default_constructible_v<Shared> && std::is_trivially_destructible_v<Shared>);
  static const char kKey = 0;
  return *static_cast<Shared*>(checked::engine::static_shared(&kKey, sizeof(Shared), alignof(Shared)));
}

/// The dynamic shared memory of the launch.
template <class T>
SharedPointer<T> dynamic_shared() {
  const auto memory = checked::engine::dynamic_shared();
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data);
  return {static_cast<T*>(memory.data), {begin, begin + memory.bytes}};
}

// ---- Vectors: N elements in one access of at most 16 bytes.

template <int N, class T, checked::Space kSpace, std::integral I>
[[gnu::always_inline]] inline Vec<std::remove_const_t<T>, N> load_vec(const checked::Pointer<T, kSpace>& p, I i) {
  using Vector = Vec<std::remove_const_t<T>, N>;
  const auto* const at = reinterpret_cast<const Vector*>(p.raw() + i);
  if (!checked::engine::position.checked) return *at;
  checked::check_bounds(kSpace, at, p.bounds());
  return checked::read(kSpace, at);
}

template <int N, class T, checked::Space kSpace, std::integral I>
[[gnu::always_inline]] inline void store_vec(const checked::Pointer<T, kSpace>& p, I i, const Vec<T, N>& v) {
  auto* const at = reinterpret_cast<Vec<T, N>*>(p.raw() + i);
  if (checked::engine::position.checked) checked::check_bounds(kSpace, at, p.bounds());
  checked::write(kSpace, at, v);
}

// ---- Atomics: of integers only, since a sum of floats would depend on the order. All return the value before.

namespace checked {

template <class T>
concept AtomicInteger = std::integral<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <AtomicInteger T, Space kSpace, std::integral I, class F>
[[gnu::always_inline]] inline T update(const Pointer<T, kSpace>& p, I i, F f) {
  T* const at = p.raw() + i;
  if (engine::position.checked) {
    check_bounds(kSpace, at, p.bounds());
    engine::note_atomic(kSpace, at, sizeof(T), alignof(T));
  }
  const T before = *at;
  *at = f(before);
  return before;
}

}  // namespace checked

template <class T, checked::Space kSpace, std::integral I>
T atomic_add(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  using U = std::make_unsigned_t<T>;
  return checked::update(p, i, [v](T x) { return static_cast<T>(static_cast<U>(x) + static_cast<U>(v)); });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_max(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  return checked::update(p, i, [v](T x) { return x < v ? v : x; });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_min(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  return checked::update(p, i, [v](T x) { return v < x ? v : x; });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_or(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  return checked::update(p, i, [v](T x) { return static_cast<T>(x | v); });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_and(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  return checked::update(p, i, [v](T x) { return static_cast<T>(x & v); });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_exchange(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> v) {
  return checked::update(p, i, [v](T) { return v; });
}

template <class T, checked::Space kSpace, std::integral I>
T atomic_cas(const checked::Pointer<T, kSpace>& p, I i, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return checked::update(p, i, [=](T x) { return x == expected ? v : x; });
}

}  // namespace simt_
}  // namespace sparsert::backend
