// A table whose size is known when it is made: on the stack where it is small.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <vector>

namespace weft::runtime {

template <class T, std::size_t few = 16> class Table {
 public:
  explicit Table(std::size_t size) : size_(size) {
    if (size > few) many_.resize(size);
  }
  T& operator[](std::size_t i) { return data()[i]; }
  [[nodiscard]] T* data() { return size_ > few ? many_.data() : few_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  operator std::span<const T>() { return {data(), size_}; }

 private:
  std::size_t size_;
  T few_[few];  // not initialised
  std::vector<T> many_;
};

}  // namespace weft::runtime
