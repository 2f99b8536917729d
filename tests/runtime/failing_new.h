// Memory that runs out when a test says so.
#pragma once

namespace weft::test {

/// The n-th `new` of this thread from now on throws std::bad_alloc, once; 0: none does.
void fail_new(int n);
/// What is left of that count; 0 when it has come to pass.
int until_failing_new();

}  // namespace weft::test
