BEGIN TRANSACTION;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,                    -- 1, 2, 3, ...
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER,
    old_state TEXT,
    new_state TEXT,
    reason TEXT NOT NULL,
    hash TEXT NOT NULL                          -- of this row and the hash before it (docs/formats/audit.md)
, details TEXT) STRICT;
INSERT INTO "audit" VALUES(1,1795940490140,'ada','model.registered','churn',NULL,NULL,NULL,'','3417ffb506397716dec7870aae5698fd3023d1ec6ac0bebf3885df583150603c','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"d20914268fefe57fc68ff345cee94d06e7edbadab8185d8b598625108cc1848a","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"}}');
INSERT INTO "audit" VALUES(2,1795940490141,'ada','version.registered','churn',1,NULL,NULL,'','168ef8a99caf299d00ed14ce6bf17798551b938800fa06989d143499f4000cf1','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"1ca2d247ee2d5f67ffdd0316a7f57158723df7a4a229f3e92577b17d41d741ff","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"654d5d9bebb015b9026b6dcddd9bc43d5f4a7922032a6a47e245f59f11eb852b","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","parameters":"a6b1a0f76e5452edab5b4074a085f350ed3ae3b918ef68f93f2e0301842c858e","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","record":"083a679910beb1cdc47e6643f70eef05f55c82e35b4da742df79de885e46dc76","rows":"c33d8ad2ad8e61ffaf2ebb40b1039a2a63988995e7e3d0173eca86dd64719498","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"not judged"}}');
INSERT INTO "audit" VALUES(3,1795940490144,'ada','version.judged','churn',1,NULL,'approved against no champion','by its gates','9b8f55537ed85d0901bbd1f29e51199b6da723ca3d3306d02c551a0e3fc92e90','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"1ca2d247ee2d5f67ffdd0316a7f57158723df7a4a229f3e92577b17d41d741ff","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"41db3ae8a7cf4aeb6dbc8411d149048c596063665f57c6893e69ec72cad10b0c","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","parameters":"a6b1a0f76e5452edab5b4074a085f350ed3ae3b918ef68f93f2e0301842c858e","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","record":"921dc06cad6a81b5ce4c1a9d4712c8458acb1b308cb54aba0262d843e6284201","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against no champion"},"verdicts":[{"artifacts":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","record":"4e42a2efdaa38645a4ebfe2f7fb3b7a4b274f08b745d2fc92ddbed944dbbca53","verdict":"approved against no champion"}]}');
INSERT INTO "audit" VALUES(4,1795940490148,'ada','promotion.intended','churn',1,NULL,'b262cbe69623f002ff04efcff7e2f427','better','2cb92bba68650ddf95d7bdc7c649f286904f27251bd7b7c744927b8ed74ae6ff','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"1ca2d247ee2d5f67ffdd0316a7f57158723df7a4a229f3e92577b17d41d741ff","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"41db3ae8a7cf4aeb6dbc8411d149048c596063665f57c6893e69ec72cad10b0c","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","parameters":"a6b1a0f76e5452edab5b4074a085f350ed3ae3b918ef68f93f2e0301842c858e","promotions":"9a04b736b14b7c2d9753f75ade1e4d156bec244d1a57ccd0c16842a08ac644fc","published-metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","record":"921dc06cad6a81b5ce4c1a9d4712c8458acb1b308cb54aba0262d843e6284201","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against no champion"}}');
INSERT INTO "audit" VALUES(5,1795940490152,'ada','version.transitioned','churn',1,'none','production','better','18d6373769c3620b21af909e1d355f2aea5c0540f02f06a2aa86fdf2123d7bcb','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"1ca2d247ee2d5f67ffdd0316a7f57158723df7a4a229f3e92577b17d41d741ff","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"41db3ae8a7cf4aeb6dbc8411d149048c596063665f57c6893e69ec72cad10b0c","life":"6d099f55a111fbf7e8364f2dbab7b19ec26a97278f777c89567ee87332326e7e","metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","parameters":"a6b1a0f76e5452edab5b4074a085f350ed3ae3b918ef68f93f2e0301842c858e","promotions":"9a04b736b14b7c2d9753f75ade1e4d156bec244d1a57ccd0c16842a08ac644fc","published-metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","record":"921dc06cad6a81b5ce4c1a9d4712c8458acb1b308cb54aba0262d843e6284201","stage":"production","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against no champion"}}');
INSERT INTO "audit" VALUES(6,1795940490164,'ada','version.registered','churn',2,NULL,NULL,'','9baff6e1dfc56e66564c13ed745667cbeda7f9d009a1b4d1ee6d5740017dcd28','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"2e6c2912038061e9206a45dbc55e52ed34c0e8b22dab0204af6e3fccea4a119f","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"654d5d9bebb015b9026b6dcddd9bc43d5f4a7922032a6a47e245f59f11eb852b","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","parameters":"e8b35721bcdc7f61e0edbc983d0d051c3e5abce27cd6a5665bd7f5f24dce132b","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","record":"50236ec98bd28d0b833f0d13d5b552962dd5cbb11f625b50b956d61afa1e2074","rows":"17f24576c7116d6bf88677e3ae9778178321cde16b9fdbd0213383d5487be284","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"not judged"}}');
INSERT INTO "audit" VALUES(7,1795940490168,'ada','version.judged','churn',2,NULL,'approved against version 1','by its gates','2dfd8ae8a5115c563a5853dd50e62db263d24bb465c6fc8e839afd7462e49945','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"2e6c2912038061e9206a45dbc55e52ed34c0e8b22dab0204af6e3fccea4a119f","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"959d545267ddbfc3f0be7889140f4fc366174cd22ba61d4d215a4d3954fe8d02","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","parameters":"e8b35721bcdc7f61e0edbc983d0d051c3e5abce27cd6a5665bd7f5f24dce132b","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","record":"b24a90bc1f3394e792eb192a033830207a066c079fd7ecb3345393ec80468dcc","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against version 1"},"verdicts":[{"artifacts":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","record":"712f06df171f2074bfe80543f981e413627be2319131be8a7443c6ac0515f836","verdict":"approved against version 1"}]}');
INSERT INTO "audit" VALUES(8,1795940490175,'ada','promotion.intended','churn',2,NULL,'475a828026a79d609c955782a92818cc','better','ef34a3147b83a4dc58c61be13fa24c99bdc2c192f165cbcf1766fe553dd2a154','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"2e6c2912038061e9206a45dbc55e52ed34c0e8b22dab0204af6e3fccea4a119f","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"959d545267ddbfc3f0be7889140f4fc366174cd22ba61d4d215a4d3954fe8d02","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","parameters":"e8b35721bcdc7f61e0edbc983d0d051c3e5abce27cd6a5665bd7f5f24dce132b","promotions":"0bb5191aeba94640525e68f4193eb1992bc6733bce505f8fa3b2ebe8f7e9248d","published-metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","record":"b24a90bc1f3394e792eb192a033830207a066c079fd7ecb3345393ec80468dcc","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against version 1"}}');
INSERT INTO "audit" VALUES(9,1795940490178,'ada','version.transitioned','churn',1,'production','archived','version 2 followed','382522a5340ba469f5ccc9f5ab73033dd21921b5524baeb687d6eecf4b0212d0','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"2e6c2912038061e9206a45dbc55e52ed34c0e8b22dab0204af6e3fccea4a119f","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"41db3ae8a7cf4aeb6dbc8411d149048c596063665f57c6893e69ec72cad10b0c","life":"f5d7dbaf849ef564d776b78b329d0b8301b66675091f5aa11a41bd0b1eb9b09d","metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","parameters":"a6b1a0f76e5452edab5b4074a085f350ed3ae3b918ef68f93f2e0301842c858e","promotions":"9a04b736b14b7c2d9753f75ade1e4d156bec244d1a57ccd0c16842a08ac644fc","published-metrics":"1ef18ba8a040129aa3cc11f11ba1fc32397edcbc25b46c78ce6df29fa5685072","record":"921dc06cad6a81b5ce4c1a9d4712c8458acb1b308cb54aba0262d843e6284201","stage":"archived","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against no champion"}}');
INSERT INTO "audit" VALUES(10,1795940490179,'ada','version.transitioned','churn',2,'none','production','better','ed65549590710dd1551b06bd47c91d078b89cfa16a5a457ec7c5d494ee5f8bc7','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"2e6c2912038061e9206a45dbc55e52ed34c0e8b22dab0204af6e3fccea4a119f","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"959d545267ddbfc3f0be7889140f4fc366174cd22ba61d4d215a4d3954fe8d02","life":"1430c94ac7162d120827cae33612b93a9fbbe824c73ce4864e446cd214b6b1f4","metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","parameters":"e8b35721bcdc7f61e0edbc983d0d051c3e5abce27cd6a5665bd7f5f24dce132b","promotions":"0bb5191aeba94640525e68f4193eb1992bc6733bce505f8fa3b2ebe8f7e9248d","published-metrics":"852f31627d5eb0c09f60bac24a00e31db1f1260fc160c90d8befbd45be40f072","record":"b24a90bc1f3394e792eb192a033830207a066c079fd7ecb3345393ec80468dcc","stage":"production","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"approved against version 1"}}');
INSERT INTO "audit" VALUES(11,1795940490180,'ada','version.registered','churn',3,NULL,NULL,'','5a77d48595e91a406d4b580a1dc04d456d5c288a150903415ddff3c6a0a11c0b','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"bccd8405d81f4828017cbef9dbdbb879a2fee1cd23002b8e51eada36463c7a14","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"654d5d9bebb015b9026b6dcddd9bc43d5f4a7922032a6a47e245f59f11eb852b","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","parameters":"9cd4282745b4f78a37d6cb2b2de0fc83fe525a2242fbb77b4987796f90354a7e","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","record":"cb6da17e68bc5c9cbe2f6206088bbfa8c5ff6c17edf4eb8e6469f5602acde5c9","rows":"349e3a1e51c09da9524ba1870516cf9955be35068849fe907b27336cd1f532b2","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"not judged"}}');
INSERT INTO "audit" VALUES(12,1795940490184,'ada','version.judged','churn',3,NULL,'rejected against version 2','by its gates','557793c25b42abe05dff38cad77331fd2e93c45deed4b75039832545810a16b3','{"model":{"aliases":"","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"bccd8405d81f4828017cbef9dbdbb879a2fee1cd23002b8e51eada36463c7a14","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"7291efc86980518b4c0b8336838a21e8af01feb1cbddb5614b63316b3536448c","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"08709313c06d549aed6f5d8eeb178529088090d359f13eb7f819ea895abbd6b9","parameters":"9cd4282745b4f78a37d6cb2b2de0fc83fe525a2242fbb77b4987796f90354a7e","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"08709313c06d549aed6f5d8eeb178529088090d359f13eb7f819ea895abbd6b9","record":"052ce9df8c15437954b7e6d71f945c0d963b1b2a72d9aab4602c8100ad1a2df4","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"rejected against version 2"},"verdicts":[{"artifacts":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","metrics":"08709313c06d549aed6f5d8eeb178529088090d359f13eb7f819ea895abbd6b9","record":"873101bdad3023b56f9912dff17a31297c6cdc771b5182a2ac12eac4386c23dd","verdict":"rejected against version 2"}]}');
INSERT INTO "audit" VALUES(13,1795940490188,'ada','alias.moved','churn',3,NULL,'candidate -> 3','','2238f40081e79bcc4f81e6b33e1f0dcb68fcfe54a8959eccea8b41d36f3365d8','{"model":{"aliases":"candidate -> 3","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","record":"bccd8405d81f4828017cbef9dbdbb879a2fee1cd23002b8e51eada36463c7a14","tags":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"},"version":{"artifacts":"918c8fa237fb97fbcc2aafe449d1a2be76ebf9a7e89db5aa1ddf1af33f5401cf","description":"1249ac5a801c145d7aee23842efc203ffdb663f29d313b5d6b5f14d417e7b99b","judgement":"7291efc86980518b4c0b8336838a21e8af01feb1cbddb5614b63316b3536448c","life":"9acb1e161d9de368700d2fa152aa7800b226c3164e6417b50621c1149439f642","metrics":"08709313c06d549aed6f5d8eeb178529088090d359f13eb7f819ea895abbd6b9","parameters":"9cd4282745b4f78a37d6cb2b2de0fc83fe525a2242fbb77b4987796f90354a7e","promotions":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","published-metrics":"08709313c06d549aed6f5d8eeb178529088090d359f13eb7f819ea895abbd6b9","record":"052ce9df8c15437954b7e6d71f945c0d963b1b2a72d9aab4602c8100ad1a2df4","stage":"none","tags":"bf4b7303dff3c57b76546f957ab93c36bddefa7dcee74727f1173b85af9a2bd0","verdict":"rejected against version 2"}}');
INSERT INTO "audit" VALUES(14,1795940490190,'ada','model.registered','other',NULL,NULL,NULL,'','fc9a6e7029461e1cd2da6fb93ca22c5721dd32946d03677eb1ec8751a113acea','{"model":{"aliases":"","description":"4de18200d39cc08421cc8a40f24ec75f60eba8401d1d9dad2dd3c81ecb7607db","record":"5c3dc6b852c895427980e54f2aebc9f171b3bcd76e4225f52fb9b92aaa5c6e89","tags":"0a00166d6dbaff6807b843ede1f478321a63e9926b45bd08552d941d3d6073c5"}}');
INSERT INTO "audit" VALUES(15,1795940490191,'ada','model.renamed','other',NULL,NULL,'another','','9a75a4d871faafea8bb154e577a3945517f2bbde569040cdda7a956fbaa197c4','{}');
INSERT INTO "audit" VALUES(16,1795940490191,'ada','model.renamed','another',NULL,'other',NULL,'','a092d32b341be2d3ebf50f98004ea7d9eef51a52057dbb2d8cb05e64946728e2','{"model":{"aliases":"","description":"4de18200d39cc08421cc8a40f24ec75f60eba8401d1d9dad2dd3c81ecb7607db","record":"5c3dc6b852c895427980e54f2aebc9f171b3bcd76e4225f52fb9b92aaa5c6e89","tags":"0a00166d6dbaff6807b843ede1f478321a63e9926b45bd08552d941d3d6073c5"}}');
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO "audit_head" VALUES(1,16,'a092d32b341be2d3ebf50f98004ea7d9eef51a52057dbb2d8cb05e64946728e2');
CREATE TABLE collections (
    destination TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    began_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE experiment_tags (
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
, updated_ms INTEGER NOT NULL DEFAULT 0, deleted_ms INTEGER) STRICT;
INSERT INTO "experiments" VALUES(1,'churn',1795940490122,1795940490122,NULL);
CREATE TABLE latest_metrics (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value REAL,
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "latest_metrics" VALUES(1,'roc_auc',0.85,0,1795940490128);
CREATE TABLE metric_points (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    stage INTEGER REFERENCES stages (id),       -- the stage that reported it; NULL: the host
    name TEXT NOT NULL,                         -- of a stage's: STAGE.NAME
    value REAL,                                 -- NULL is NaN, which SQLite cannot hold
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "metric_points" VALUES(1,1,NULL,'roc_auc',0.85,0,1795940490128);
CREATE TABLE parameters (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "parameters" VALUES(1,'training.depth','3');
CREATE TABLE promotions (
    id TEXT PRIMARY KEY,                        -- 32 hex digits
    model INTEGER NOT NULL REFERENCES registered_models (id),
    version INTEGER NOT NULL REFERENCES versions (id),
    expected INTEGER REFERENCES versions (id),  -- the champion when it was intended
    rollback INTEGER NOT NULL,
    destination TEXT NOT NULL,                  -- a URI without secrets
    state TEXT NOT NULL CHECK (state IN ('intended', 'current', 'finished', 'undone')),
    owner TEXT NOT NULL,                        -- the process that works on it
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    completed INTEGER                           -- the audit's last place when its version became champion
, retirement INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "promotions" VALUES('475a828026a79d609c955782a92818cc',1,2,1,0,'file:///production','current','17215-I4qmoO','ada','better',1795940490175,NULL,10,0);
INSERT INTO "promotions" VALUES('b262cbe69623f002ff04efcff7e2f427',1,1,NULL,0,'file:///production','finished','17215-I4qmoO','ada','better',1795940490148,1795940490160,5,0);
CREATE TABLE published_metrics (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "published_metrics" VALUES(1,'roc_auc',0.625);
INSERT INTO "published_metrics" VALUES(2,'roc_auc',0.75);
INSERT INTO "published_metrics" VALUES(3,'roc_auc',0.875);
CREATE TABLE registered_model_tags (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "registered_model_tags" VALUES(2,'owner','grace');
CREATE TABLE registered_models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    last_version INTEGER NOT NULL DEFAULT 0     -- numbers of deleted versions are not given again
) STRICT;
INSERT INTO "registered_models" VALUES(1,'churn','',1795940490140,1795940490188,3);
INSERT INTO "registered_models" VALUES(2,'another','empty',1795940490190,1795940490191,0);
CREATE TABLE row_hash_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash_key TEXT NOT NULL
) STRICT;
INSERT INTO "row_hash_key" VALUES(1,'449368a81ff2a84677b7caee48d45c80fa1dfc621963dc27da4b857a1d1ead6b');
CREATE TABLE row_memories (
    version INTEGER PRIMARY KEY REFERENCES versions (id),
    key_columns TEXT NOT NULL                   -- JSON list of names, sorted; empty: the whole row is the key
) STRICT;
INSERT INTO "row_memories" VALUES(1,'["id"]');
INSERT INTO "row_memories" VALUES(2,'["id"]');
INSERT INTO "row_memories" VALUES(3,'["id"]');
CREATE TABLE row_memory_chunks (
    version INTEGER NOT NULL REFERENCES row_memories (version),
    kind TEXT NOT NULL CHECK (kind IN ('key', 'content')),
    chunk INTEGER NOT NULL,                     -- 0, 1, 2, ...
    hashes BLOB NOT NULL,                       -- 8 bytes each, little-endian, ascending over all chunks
    UNIQUE (version, kind, chunk)
) STRICT;
INSERT INTO "row_memory_chunks" VALUES(1,'key',0,X'01000000000000000700000000000000');
INSERT INTO "row_memory_chunks" VALUES(1,'content',0,X'0100000000000000');
INSERT INTO "row_memory_chunks" VALUES(2,'key',0,X'02000000000000000700000000000000');
INSERT INTO "row_memory_chunks" VALUES(2,'content',0,X'0200000000000000');
INSERT INTO "row_memory_chunks" VALUES(3,'key',0,X'03000000000000000700000000000000');
INSERT INTO "row_memory_chunks" VALUES(3,'content',0,X'0300000000000000');
CREATE TABLE run_tags (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "run_tags" VALUES(1,'team','growth');
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,                     -- order of beginning
    run_id TEXT NOT NULL UNIQUE,                -- 32 hex digits
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    pipeline TEXT NOT NULL,
    seed INTEGER NOT NULL,                      -- the bits of a u64
    manifest TEXT NOT NULL,
    config TEXT NOT NULL,                       -- JSON
    status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'killed')),
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    error TEXT,                                 -- JSON
    owner TEXT NOT NULL                         -- the life lock of the process that runs it
, name TEXT NOT NULL DEFAULT '', actor TEXT NOT NULL DEFAULT '', deleted_ms INTEGER) STRICT;
INSERT INTO "runs" VALUES(1,'8249f724925d7548959e5ac39e924d3c',1,'churn',7,'[pipeline]','{"seed":7}','finished',1795940490123,1795940490196,NULL,'17215-I4qmoO','8249f724','ada',NULL);
CREATE TABLE stage_inputs (
    stage INTEGER NOT NULL REFERENCES stages (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (stage, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE stage_outputs (
    stage INTEGER NOT NULL REFERENCES stages (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    rows INTEGER,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (stage, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE stages (
    id INTEGER PRIMARY KEY,                     -- order of recording
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    component TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    wall_ms REAL NOT NULL,
    cpu_ms REAL NOT NULL,
    peak_memory_bytes INTEGER NOT NULL,
    rows_in INTEGER NOT NULL,
    rows_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    copies_bytes INTEGER NOT NULL,
    error TEXT,                                 -- JSON
    logs TEXT NOT NULL                          -- JSON list of {level, message}
, invocation TEXT, walls TEXT, key TEXT, cached_from TEXT, dropped INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE verdict_artifacts (
    verdict INTEGER NOT NULL REFERENCES verdicts (id),
    role TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (verdict, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdict_metrics (
    verdict INTEGER NOT NULL REFERENCES verdicts (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (verdict, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "verdict_metrics" VALUES(1,'roc_auc',0.625);
INSERT INTO "verdict_metrics" VALUES(2,'roc_auc',0.75);
INSERT INTO "verdict_metrics" VALUES(3,'roc_auc',0.875);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,                     -- order of judging
    version INTEGER NOT NULL REFERENCES versions (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected', 'undecided')),
    policy TEXT NOT NULL,                       -- better, no-worse, absolute, person; unknown: given before format 3
    judged_against INTEGER,                     -- the number of the champion of the moment; 0: there was none; NULL: not known
    is_override INTEGER NOT NULL,               -- 1: a person decided
    reason TEXT NOT NULL,                       -- one line
    reasons TEXT NOT NULL,                      -- JSON list of {gate, passed, message}
    evaluation TEXT NOT NULL,                   -- JSON: what it was reached by
    run_id TEXT,                                -- 32 hex digits
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "verdicts" VALUES(1,1,'approved','better',0,0,'by its gates','[{"gate":"person","passed":true,"message":"by its gates"}]','null',NULL,'ada',1795940490144);
INSERT INTO "verdicts" VALUES(2,2,'approved','better',1,0,'by its gates','[{"gate":"person","passed":true,"message":"by its gates"}]','null',NULL,'ada',1795940490168);
INSERT INTO "verdicts" VALUES(3,3,'rejected','better',2,0,'by its gates','[{"gate":"person","passed":false,"message":"by its gates"}]','null',NULL,'ada',1795940490184);
CREATE TABLE version_aliases (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL CHECK (alias <> 'champion'),
    version INTEGER NOT NULL REFERENCES versions (id),
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
INSERT INTO "version_aliases" VALUES(1,'candidate',3);
CREATE TABLE version_artifacts (
    version INTEGER NOT NULL REFERENCES versions (id),
    role TEXT NOT NULL,                         -- what it is to the version: training-component, model, ...
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    needed INTEGER NOT NULL,                    -- 1: predictions need it; 0: it explains
    PRIMARY KEY (version, role)
) STRICT, WITHOUT ROWID;
INSERT INTO "version_artifacts" VALUES(1,'model','blob','sha256:9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4',5,1);
INSERT INTO "version_artifacts" VALUES(2,'model','blob','sha256:9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4',5,1);
INSERT INTO "version_artifacts" VALUES(3,'model','blob','sha256:9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4',5,1);
CREATE TABLE version_metrics (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "version_metrics" VALUES(1,'roc_auc',0.625);
INSERT INTO "version_metrics" VALUES(2,'roc_auc',0.75);
INSERT INTO "version_metrics" VALUES(3,'roc_auc',0.875);
CREATE TABLE version_parameters (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "version_parameters" VALUES(1,'depth','1');
INSERT INTO "version_parameters" VALUES(2,'depth','2');
INSERT INTO "version_parameters" VALUES(3,'depth','3');
CREATE TABLE version_tags (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "version_tags" VALUES(1,'who','ada');
INSERT INTO "version_tags" VALUES(2,'who','ada');
INSERT INTO "version_tags" VALUES(3,'who','ada');
CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES registered_models (id),
    version INTEGER NOT NULL CHECK (version > 0),
    semantic_version TEXT,
    run_id TEXT,                                -- 32 hex digits
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',       -- for people
    contents TEXT NOT NULL,                     -- JSON: all that is needed to use and to explain it
    reason TEXT,
    judged_ms INTEGER,
    stage TEXT NOT NULL DEFAULT 'none' CHECK (stage IN ('none', 'staging', 'production', 'archived')),
    stage_ms INTEGER,                           -- since when
    withdrawn INTEGER NOT NULL DEFAULT 0,       -- 1: a rollback went away from it
    followed INTEGER, verdict TEXT CHECK (verdict IN ('approved', 'rejected', 'undecided')), judged_against INTEGER, parts TEXT, published INTEGER NOT NULL DEFAULT 0,                           -- its place in the audit when another one followed it as champion
    UNIQUE (model, version)
) STRICT;
INSERT INTO "versions" VALUES(1,1,1,NULL,'8249f724925d7548959e5ac39e924d3c',1795940490140,1795940490178,'ada','','{"number":1}','by its gates',1795940490144,'archived',1795940490178,0,9,'approved',0,NULL,1);
INSERT INTO "versions" VALUES(2,1,2,NULL,'8249f724925d7548959e5ac39e924d3c',1795940490164,1795940490179,'ada','','{"number":2}','by its gates',1795940490168,'production',1795940490179,0,NULL,'approved',1,NULL,1);
INSERT INTO "versions" VALUES(3,1,3,NULL,'8249f724925d7548959e5ac39e924d3c',1795940490180,1795940490184,'ada','','{"number":3}','by its gates',1795940490184,'none',NULL,0,NULL,'rejected',2,NULL,1);
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);
CREATE INDEX runs_running ON runs (owner) WHERE status = 'running';
CREATE INDEX stages_by_run ON stages (run, id);
CREATE INDEX stages_by_key ON stages (key) WHERE key IS NOT NULL;
CREATE INDEX stages_by_digest ON stages (digest);
CREATE INDEX stage_outputs_by_digest ON stage_outputs (digest);
CREATE INDEX runs_by_experiment ON runs (experiment, started_ms);
CREATE INDEX runs_by_start ON runs (started_ms DESC, run_id);
CREATE INDEX run_tags_by_value ON run_tags (name, value);
CREATE INDEX parameters_by_value ON parameters (name, value);
CREATE INDEX metric_points_by_name ON metric_points (run, name, id);
CREATE INDEX metric_points_by_stage ON metric_points (stage, id) WHERE stage IS NOT NULL;
CREATE INDEX latest_metrics_by_value ON latest_metrics (name, value, run);
CREATE INDEX stage_inputs_by_digest ON stage_inputs (digest);
CREATE UNIQUE INDEX one_champion ON versions (model) WHERE stage = 'production';
CREATE INDEX versions_by_run ON versions (run_id);
CREATE INDEX version_artifacts_by_digest ON version_artifacts (digest);
CREATE INDEX version_aliases_by_version ON version_aliases (version);
CREATE INDEX promotions_unfinished ON promotions (destination) WHERE state IN ('intended', 'current');
CREATE INDEX audit_by_model ON audit (model, seq);
CREATE VIEW model_transitions AS
    SELECT seq, at_ms, actor, model, version, old_state AS from_stage, new_state AS to_stage, reason
    FROM audit WHERE action = 'version.transitioned';
CREATE VIEW model_experiments AS
    SELECT registered_models.name AS model, versions.version, versions.run_id, experiments.name AS experiment
    FROM versions JOIN registered_models ON registered_models.id = versions.model
    JOIN runs ON runs.run_id = versions.run_id JOIN experiments ON experiments.id = runs.experiment;
CREATE VIEW models AS SELECT name, created_ms, last_version,
             (SELECT version FROM versions WHERE versions.model = registered_models.id AND stage = 'production') AS champion
         FROM registered_models;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
        BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE INDEX versions_by_parts ON versions (model, parts) WHERE parts IS NOT NULL;
CREATE INDEX verdicts_by_version ON verdicts (version, id);
CREATE INDEX verdict_artifacts_by_digest ON verdict_artifacts (digest);
COMMIT;
