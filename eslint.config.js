/**
 * Lint: what may be a bug, not style (prettier's) and not what the type checker already says.
 *
 * test/project/lint.slow.test.ts proves that the project's own rules below can fail.
 */
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** eslint's own rules that find bugs in code which type-checks. */
const bugs = {
  'array-callback-return': 'error',
  eqeqeq: ['error', 'always', { null: 'ignore' }],
  'for-direction': 'error',
  'no-async-promise-executor': 'error',
  'no-case-declarations': 'error',
  'no-compare-neg-zero': 'error',
  'no-cond-assign': 'error',
  'no-constant-binary-expression': 'error',
  'no-constant-condition': ['error', { checkLoops: 'allExceptWhileTrue' }],
  'no-constructor-return': 'error',
  'no-debugger': 'error',
  'no-dupe-else-if': 'error',
  'no-duplicate-case': 'error',
  'no-empty-character-class': 'error',
  'no-empty-pattern': 'error',
  'no-ex-assign': 'error',
  'no-fallthrough': 'error',
  'no-invalid-regexp': 'error',
  'no-irregular-whitespace': 'error',
  'no-loss-of-precision': 'error',
  'no-misleading-character-class': 'error',
  'no-prototype-builtins': 'error',
  'no-self-assign': 'error',
  'no-self-compare': 'error',
  'no-shadow-restricted-names': 'error',
  'no-sparse-arrays': 'error',
  'no-template-curly-in-string': 'error',
  // `for (… in …) return` asks whether there is anything.
  'no-unreachable-loop': ['error', { ignore: ['ForInStatement', 'ForOfStatement'] }],
  'no-unsafe-finally': 'error',
  'no-unsafe-negation': 'error',
  'no-unsafe-optional-chaining': 'error',
  'no-unused-private-class-members': 'error',
  'no-useless-assignment': 'error',
  'no-useless-backreference': 'error',
  'no-useless-catch': 'error',
  'preserve-caught-error': 'error',
  'use-isnan': 'error',
  'valid-typeof': 'error',
};

const FROM_OUTSIDE = 'comes from outside: take a Clock, a random function or a signal as an option.';

const exits = [{ object: 'process', property: 'exit', message: 'Only src/cli.ts ends the process.' }];

/** What reads a clock, waits or rolls dice by itself, however it is reached. */
const ambient = {
  globals: ['setTimeout', 'setInterval', 'performance'],
  properties: [
    ['Date', 'now'],
    ['Math', 'random'],
    ['performance', 'now'],
    ['process', 'hrtime'],
    ['AbortSignal', 'timeout'],
    ['globalThis', 'setTimeout'],
    ['globalThis', 'setInterval'],
    ['globalThis', 'performance'],
  ],
  modules: ['timers', 'node:timers', 'timers/promises', 'node:timers/promises', 'perf_hooks', 'node:perf_hooks'],
};

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'deploy/examples/cron/nest.ts']),
  {
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      ...bugs,
      '@typescript-eslint/no-floating-promises': [
        'error',
        // The test runner itself waits for these.
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'suite', 'test'] },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // An interface may be asynchronous where one of its implementations is not.
      '@typescript-eslint/require-await': 'off',
      // A signal's reason is whatever its owner gave.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      'prefer-const': 'off',
      '@typescript-eslint/no-unused-expressions': ['error', { allowShortCircuit: true, allowTernary: true }],
      // The type checker's: noUnusedLocals, noUnusedParameters.
      '@typescript-eslint/no-unused-vars': 'off',
    },
  },
  {
    files: ['src/**'],
    ignores: ['src/cli.ts'],
    rules: {
      'no-restricted-properties': ['error', ...exits],
      'no-restricted-imports': ['error', { paths: [{ name: 'node:process', importNames: ['exit'] }] }],
    },
  },
  {
    files: ['src/**'],
    ignores: [
      'src/cli.ts',
      'src/leases.ts',
      'src/testing.ts',
      'src/runtime/clock.ts',
      'src/commands/**',
      'src/guard/**',
      'src/embedded/**',
    ],
    rules: {
      'no-restricted-globals': ['error', ...ambient.globals.map((name) => ({ name, message: `Time ${FROM_OUTSIDE}` }))],
      'no-restricted-properties': [
        'error',
        ...exits,
        ...ambient.properties.map(([object, property]) => ({ object, property, message: `This ${FROM_OUTSIDE}` })),
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'node:process', importNames: ['exit', 'hrtime'] },
            ...ambient.modules.map((name) => ({ name, message: `Time ${FROM_OUTSIDE}` })),
          ],
        },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: `The date ${FROM_OUTSIDE}` },
        { selector: "CallExpression[callee.name='Date']", message: `The date ${FROM_OUTSIDE}` },
      ],
    },
  },
  {
    // Tests look into foreign answers and call methods apart from their objects.
    files: ['test/**', 'scripts/**'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['**/*.js', '**/*.mjs'], extends: [tseslint.configs.disableTypeChecked] },
);
