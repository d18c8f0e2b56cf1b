/* The frame of a unit test program: one suite, one exit code. In the test file:
 *   START_TEST(name) { ... } END_TEST
 *   SUITE_MAIN("address", name, other_name) */
#ifndef POSTERN_TESTS_SUITE_H
#define POSTERN_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

#define SUITE_MAIN(title, ...) \
	int main(void) \
	{ \
		const TTest *tests[] = {__VA_ARGS__}; \
		Suite *suite = suite_create(title); \
		TCase *cases = tcase_create(title); \
		tcase_set_timeout(cases, 60); \
		for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) \
			tcase_add_test(cases, tests[i]); \
		suite_add_tcase(suite, cases); \
		SRunner *runner = srunner_create(suite); \
		srunner_run_all(runner, CK_ENV); \
		int failed = srunner_ntests_failed(runner); \
		srunner_free(runner); \
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE; \
	}

#endif
